//! Sockets against a whole server, job by hand.

use livedraft::job::Outcome;
use serde_json::json;

use crate::harness::house;

const SET_EMPTY: &str = r#"["",{},0]"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_told_from_its_acceptance_to_its_end() {
    let house = house();
    let mut client = house.fresh().await;
    let welcome = client.expect("welcome").await;
    assert_eq!(welcome["models"], json!(["scripted"]));
    let (job, accepted) = client.create().await;
    assert_eq!(accepted["tag"], job.tag().as_str());
    assert_eq!((&accepted["seq"], &accepted["ahead"]), (&json!(1), &json!(0)));

    let mut hands = house.claim().await;
    assert_eq!(hands.job, job);
    assert_eq!(client.expect("job.status").await["status"], "running");
    hands.attempt(1).await;
    assert_eq!(client.expect("job.attempt").await["reason"], "first");
    let first = hands.patch(SET_EMPTY).await;
    assert_eq!(client.told().await, first, "a patch is forwarded as it is");
    let second = hands.patch(r#"["/name","Al",0]"#).await;
    assert_eq!(client.told().await, second);
    hands.finish(Outcome::Completed).await;
    let end = client.expect("job.completed").await;
    assert_eq!(end["value"], json!({"name": "Al"}));
    assert_eq!(end["seq"], hands.position.seq);
}
