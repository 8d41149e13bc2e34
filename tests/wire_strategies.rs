//! Strategies that make any message of the protocol.

use livedraft::event::{
    AttemptBegins, EndError, Epoch, Hook, HookKind, Note, NoteKind, Places, Position, StatusChange, Timings,
};
use livedraft::job::{
    Attempt, AttemptError, AttemptUsage, Effort, JobLimits, JobSpec, JobState, LenientChoice, Message,
    ModeChoice, Money, OnBadItem, OnLastViewerGone, OnViolation, Outcome, ReaskChoice, Reason, Reasoning,
    Role, Sampling, Script, ScriptedPrefill, Usage, Wrap,
};
use livedraft::wire::{
    Auth, Bigints, ClientMessage, Deliver, ErrorMessage, Form, Goodbye, JobAccept, JobAccepted, JobAttach,
    JobAttached, JobCancelling, JobCreate, JobDegraded, JobDetached, JobEnd, JobEvent, JobPatch, JobReask,
    JobRuled, JobSnapshot, JobStateNow, Limits, Named, Patch, RulingError, ServerMessage, Unseen, Welcome,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use serde_json::json;
use serde_json::value::RawValue;

use crate::wire_samples::{VALUES, raw};

fn text() -> impl Strategy<Value = String> {
    let letter = prop_oneof![
        any::<char>(),
        prop::sample::select(vec!['a', '/', '~', '"', '\\', '\n', '\u{0}', '😀']),
    ];
    vec(letter, 0..8).prop_map(String::from_iter)
}

/// The text of any JSON value, digits of every kind included.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(VALUES.to_vec()).prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        text().prop_map(|text| json!(text).to_string()),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            vec((text(), inner), 0..4).prop_map(|members| {
                let member = |(key, value): &(String, String)| format!("{}:{value}", json!(key));
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

fn raw_value() -> impl Strategy<Value = Box<RawValue>> {
    json_text().prop_map(|text| raw(&text))
}

fn ops() -> impl Strategy<Value = Box<RawValue>> {
    let op = prop_oneof![
        text().prop_map(|text| json!([text]).to_string()),
        (text(), text()).prop_map(|(path, text)| json!([path, text]).to_string()),
        (text(), json_text()).prop_map(|(path, value)| format!("[{},{value},0]", json!(path))),
        text().prop_map(|path| json!([path, null, 1]).to_string()),
    ];
    vec(op, 0..5).prop_map(|ops| raw(&format!("[{}]", ops.join(","))))
}

fn epoch() -> impl Strategy<Value = Epoch> {
    any::<u64>().prop_map(Epoch::new)
}

fn state() -> impl Strategy<Value = JobState> {
    prop::sample::select(vec![
        JobState::Queued,
        JobState::Running,
        JobState::Waiting,
        JobState::Recovering,
        JobState::Completed,
        JobState::Failed,
        JobState::Cancelled,
        JobState::Incomplete,
    ])
}

fn reason() -> impl Strategy<Value = Reason> {
    prop::sample::select(vec![
        Reason::First,
        Reason::Invalid,
        Reason::Provider,
        Reason::Truncated,
        Reason::WorkerLost,
        Reason::Astray,
    ])
}

fn errors() -> impl Strategy<Value = Vec<AttemptError>> {
    let error =
        (text(), text(), text(), of(text())).prop_map(|(path, keyword, message, value)| AttemptError {
            path,
            keyword,
            message,
            value,
        });
    vec(error, 0..3)
}

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let attempt = (any::<u32>(), reason(), errors());
    vec(
        attempt.prop_map(|(n, reason, errors)| Attempt { n, reason, errors }),
        0..3,
    )
}

fn usage() -> impl Strategy<Value = Usage> {
    (any::<[u64; 4]>(), any::<bool>(), cost()).prop_map(|(tokens, estimated, cost)| Usage {
        input_tokens: tokens[0],
        output_tokens: tokens[1],
        reasoning_tokens: tokens[2],
        cached_input_tokens: tokens[3],
        estimated,
        cost,
    })
}

fn cost() -> impl Strategy<Value = Option<Money>> {
    of(any::<u64>().prop_map(Money::micros))
}

fn timings() -> impl Strategy<Value = Timings> {
    any::<(Option<u64>, Option<u64>, u64)>().prop_map(|(queued_ms, first_change_ms, total_ms)| Timings {
        queued_ms,
        first_change_ms,
        total_ms,
    })
}

fn end_error() -> impl Strategy<Value = EndError> {
    (text(), text(), errors()).prop_map(|(code, message, errors)| EndError {
        code,
        message,
        errors,
    })
}

fn deliver() -> impl Strategy<Value = Deliver> {
    let form = prop::sample::select(vec![Form::Patch, Form::Snapshot, Form::Final]);
    let bigints = prop::sample::select(vec![Bigints::Number, Bigints::String]);
    let unseen = prop::sample::select(vec![Unseen::Absent, Unseen::Null]);
    (form, unseen, bigints, any::<u32>(), any::<[bool; 2]>()).prop_map(
        |(form, unseen, bigints, interval_ms, [notes, hooks])| Deliver {
            form,
            unseen,
            bigints,
            interval_ms,
            notes,
            hooks,
        },
    )
}

/// A value without fractions: the reader of client messages goes through doubles.
fn plain_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|flag| json!(flag)),
        any::<i64>().prop_map(|number| json!(number)),
        text().prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| json!(items)),
            vec((text(), inner), 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

fn message() -> impl Strategy<Value = Message> {
    let role = prop::sample::select(vec![
        Role::System,
        Role::Developer,
        Role::User,
        Role::Assistant,
        Role::Tool,
    ]);
    let calls = of(vec(plain_json(), 0..2).prop_map(|calls| json!(calls)));
    (role, plain_json(), calls, of(text())).prop_map(|(role, content, tool_calls, tool_call_id)| Message {
        role,
        content,
        tool_calls,
        tool_call_id,
    })
}

fn script() -> impl Strategy<Value = Script> {
    let counts = any::<[u32; 5]>();
    let faults = any::<[Option<u64>; 4]>();
    let flags = any::<[bool; 3]>();
    (
        counts,
        faults,
        flags,
        any::<Option<u32>>(),
        any::<u64>(),
        0..4_000_000_u32,
        vec(text(), 0..3),
    )
        .prop_map(
            |(counts, faults, flags, fault_attempts, seed, rate, invalid_at)| Script {
                tokens_per_second: f64::from(rate) / 4.0,
                token_chars: counts[0],
                invalid_attempts: counts[1],
                invalid_at,
                broken_attempts: counts[2],
                sloppy_attempts: counts[2] / 2,
                rate_limited_attempts: counts[3],
                stop_by_length_after: faults[0],
                cut_after: faults[1],
                hang_after: faults[2],
                error_after: faults[3],
                cut_at_percent: fault_attempts,
                stop_by_length_at_percent: fault_attempts.map(|percent| percent / 2),
                blanks_after: faults[1],
                loop_after: faults[0],
                prefill: if flags[0] {
                    ScriptedPrefill::Echoes
                } else {
                    ScriptedPrefill::None
                },
                fault_attempts,
                refuse: flags[0],
                prose: flags[1],
                think: flags[2],
                seed,
                items: counts[4],
                text_chars: counts[0] / 2,
            },
        )
}

fn sampling() -> impl Strategy<Value = Sampling> {
    let quarter = || of((0..8_u32).prop_map(|quarters| f64::from(quarters) / 4.0));
    (quarter(), quarter(), any::<Option<i64>>(), vec(text(), 0..3)).prop_map(
        |(temperature, top_p, seed, stop)| Sampling {
            temperature,
            top_p,
            seed,
            stop,
        },
    )
}

type Course = (OnViolation, OnBadItem, Option<u32>, Option<u32>, bool);

/// How a job goes on where something is not as it should be.
fn course() -> impl Strategy<Value = Course> {
    let on_violation = prop::sample::select(vec![OnViolation::Auto, OnViolation::Finish, OnViolation::Abort]);
    let on_bad_item = prop::sample::select(vec![OnBadItem::Fail, OnBadItem::Drop]);
    (
        on_violation,
        on_bad_item,
        any::<Option<u32>>(),
        any::<Option<u32>>(),
        any::<bool>(),
    )
}

fn reasoning() -> impl Strategy<Value = Reasoning> {
    let efforts = [
        Effort::None,
        Effort::Minimal,
        Effort::Low,
        Effort::Medium,
        Effort::High,
    ];
    let effort = of(prop::sample::select(efforts.to_vec()));
    (effort, any::<Option<u32>>()).prop_map(|(effort, tokens)| Reasoning { effort, tokens })
}

fn job_limits() -> impl Strategy<Value = JobLimits> {
    let attempt = any::<(Option<u32>, Option<u64>, Option<u32>)>();
    let budget = (any::<Option<u64>>(), cost(), any::<Option<u32>>());
    (attempt, budget).prop_map(
        |((tokens, bytes, seconds), (total_tokens, cost, attempts))| JobLimits {
            tokens,
            bytes,
            seconds,
            total_tokens,
            cost,
            attempts,
        },
    )
}

fn spec() -> impl Strategy<Value = JobSpec> {
    let mode = prop::sample::select(vec![
        ModeChoice::Auto,
        ModeChoice::Tools,
        ModeChoice::ToolsStrict,
        ModeChoice::JsonSchema,
        ModeChoice::JsonSchemaStrict,
        ModeChoice::Json,
        ModeChoice::MdJson,
    ]);
    let wrap = prop::sample::select(vec![None, Some(Wrap::Iterable), Some(Wrap::Maybe)]);
    let lenient = prop::sample::select(vec![LenientChoice::Off, LenientChoice::On, LenientChoice::Auto]);
    let reask = prop::sample::select(vec![ReaskChoice::Auto, ReaskChoice::Whole]);
    let context = of(plain_json().prop_map(|json| serde_json::json!({ "a": json })));
    let read = (mode, wrap, lenient, reask, (context, course()));
    let asked = (text(), vec(message(), 0..3), of(text()), plain_json(), read);
    let metadata = prop::collection::btree_map(text(), text(), 0..3);
    let bounds = (
        any::<u32>(),
        any::<u32>(),
        sampling(),
        job_limits(),
        metadata,
        of(script()),
        of(reasoning()),
    );
    (asked, bounds).prop_map(
        |(
            (model, messages, input, schema, (mode, wrap, lenient, reask, (context, course))),
            (max_reasks, flush_ms, sampling, limits, metadata, script, reasoning),
        )| {
            JobSpec {
                model,
                messages,
                input,
                schema,
                mode,
                wrap,
                lenient,
                reask,
                on_violation: course.0,
                on_bad_item: course.1,
                verdict_ms: course.2,
                on_last_viewer_gone: course
                    .3
                    .map_or(OnLastViewerGone::Continue, OnLastViewerGone::CancelAfterMs),
                hooks: course.4,
                max_reasks,
                flush_ms,
                sampling,
                limits,
                metadata,
                script,
                context,
                reasoning,
            }
        },
    )
}

fn ruling_error() -> impl Strategy<Value = RulingError> {
    (text(), text(), of(text())).prop_map(|(path, message, keyword)| RulingError {
        path,
        message,
        keyword,
    })
}

/// Any client message.
pub(crate) fn client_message() -> impl Strategy<Value = ClientMessage> {
    let named = || (of(text()), text()).prop_map(|(reference, job_id)| Named { reference, job_id });
    let create = (of(text()), of(text()), spec(), deliver());
    let attach = (of(text()), text(), of((epoch(), any::<u64>())), deliver());
    prop_oneof![
        text().prop_map(|token| ClientMessage::Auth(Auth { token })),
        create.prop_map(|(reference, idempotency_key, request, deliver)| {
            ClientMessage::Create(Box::new(JobCreate {
                reference,
                idempotency_key,
                request,
                deliver,
            }))
        }),
        attach.prop_map(|(reference, job_id, position, deliver)| {
            ClientMessage::Attach(JobAttach {
                reference,
                job_id,
                position: position.map(|(epoch, seq)| Position { epoch, seq }),
                deliver,
            })
        }),
        named().prop_map(ClientMessage::Detach),
        named().prop_map(ClientMessage::Cancel),
        (of(text()), text(), any::<Option<u32>>()).prop_map(|(reference, job_id, attempt)| {
            ClientMessage::Accept(JobAccept {
                reference,
                job_id,
                attempt,
            })
        }),
        (
            of(text()),
            text(),
            any::<Option<u32>>(),
            vec(ruling_error(), 0..3)
        )
            .prop_map(|(reference, job_id, attempt, errors)| {
                ClientMessage::Reask(JobReask {
                    reference,
                    job_id,
                    attempt,
                    errors,
                })
            }),
        named().prop_map(ClientMessage::Get),
        Just(ClientMessage::Ping),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    (any::<[u64; 3]>(), any::<[u32; 7]>()).prop_map(|(wide, narrow)| Limits {
        message_bytes_max: wide[0],
        depth_max: narrow[0],
        values_max: narrow[6],
        viewers_max: narrow[1],
        pending_max: narrow[2],
        messages_per_second_max: narrow[3],
        snapshot_part_bytes: wide[1],
        end_value_bytes: wide[2],
        ref_bytes_max: narrow[4],
        idempotency_key_bytes_max: narrow[5],
    })
}

fn ruled() -> impl Strategy<Value = ServerMessage> {
    (of(text()), text(), any::<u32>(), any::<bool>()).prop_map(|(reference, job_id, attempt, accepted)| {
        ServerMessage::Ruled(JobRuled {
            reference,
            job_id,
            attempt,
            accepted,
        })
    })
}

fn detached() -> impl Strategy<Value = ServerMessage> {
    (of(text()), text())
        .prop_map(|(reference, job_id)| ServerMessage::Detached(JobDetached { reference, job_id }))
}

fn degraded() -> impl Strategy<Value = ServerMessage> {
    (text(), any::<bool>())
        .prop_map(|(job_id, active)| ServerMessage::Degraded(JobDegraded { job_id, active }))
}

fn accepted() -> impl Strategy<Value = ServerMessage> {
    let told = (
        of(text()),
        text(),
        of(text()),
        epoch(),
        any::<[u64; 2]>(),
        any::<[bool; 2]>(),
    );
    told.prop_map(
        |(reference, job_id, tag, epoch, [seq, ahead], [existing, durable])| {
            ServerMessage::Accepted(JobAccepted {
                reference,
                job_id,
                tag,
                epoch,
                seq,
                ahead,
                existing,
                durable,
            })
        },
    )
}

/// Answers to what a client asked.
fn answer() -> impl Strategy<Value = ServerMessage> {
    let welcome = (text(), text(), any::<u64>(), limits(), vec(text(), 0..3));
    let cancelling = (of(text()), text(), of(state()));
    let error = (
        of(text()),
        of(text()),
        text(),
        text(),
        of(text()),
        any::<Option<u64>>(),
    );
    prop_oneof![
        welcome.prop_map(|(connection_id, version, heartbeat_ms, limits, models)| {
            ServerMessage::Welcome(Box::new(Welcome {
                connection_id,
                version,
                heartbeat_ms,
                limits,
                models,
            }))
        }),
        accepted(),
        (of(text()), text(), of(text()), any::<bool>()).prop_map(|(reference, job_id, tag, resumed)| {
            ServerMessage::Attached(JobAttached {
                reference,
                job_id,
                tag,
                resumed,
            })
        }),
        detached(),
        cancelling.prop_map(|(reference, job_id, already)| {
            ServerMessage::Cancelling(JobCancelling {
                reference,
                job_id,
                already,
            })
        }),
        ruled(),
        error.prop_map(|(reference, job_id, code, message, path, retry_after_ms)| {
            ServerMessage::Error(Box::new(ErrorMessage {
                reference,
                job_id,
                code,
                message,
                path,
                retry_after_ms,
            }))
        }),
        degraded(),
        any::<u64>().prop_map(|reconnect_after_ms| ServerMessage::Goodbye(Goodbye { reconnect_after_ms })),
        Just(ServerMessage::Pong),
    ]
}

/// Where a job stands, why, and until when.
fn standing() -> impl Strategy<Value = (JobState, Option<String>, Option<u64>)> {
    (state(), of(text()), any::<Option<u64>>())
}

fn state_now() -> impl Strategy<Value = ServerMessage> {
    let head = (
        of(text()),
        text(),
        epoch(),
        any::<u64>(),
        standing(),
        any::<u32>(),
    );
    let value = (attempts(), of(raw_value()), vec(text(), 0..3));
    let end = (of(end_error()), of(raw_value()), of(usage()), of(timings()));
    (head, value, end).prop_map(
        |(
            (reference, job_id, epoch, seq, (status, reason, until_ms), attempt),
            (attempts, value, at),
            (error, best, usage, timings),
        )| {
            ServerMessage::State(Box::new(JobStateNow {
                reference,
                job_id,
                epoch,
                seq,
                status,
                reason,
                until_ms,
                attempt,
                attempts,
                value,
                at,
                error,
                best,
                usage,
                timings,
            }))
        },
    )
}

fn snapshot() -> impl Strategy<Value = ServerMessage> {
    let head = (
        text(),
        epoch(),
        any::<u64>(),
        standing(),
        any::<u32>(),
        of(attempts()),
    );
    let value = (of(raw_value()), of(text()), vec(text(), 0..3));
    let part = (any::<Option<u32>>(), any::<Option<u32>>(), of(text()));
    (head, value, part).prop_map(
        |(
            (job_id, epoch, seq, (status, reason, until_ms), attempt, attempts),
            (value, cursor, at),
            (part, parts, text),
        )| {
            ServerMessage::Snapshot(Box::new(JobSnapshot {
                job_id,
                epoch,
                seq,
                status,
                reason,
                until_ms,
                attempt,
                attempts,
                value,
                cursor,
                at,
                part,
                parts,
                text,
            }))
        },
    )
}

fn end() -> impl Strategy<Value = ServerMessage> {
    let outcome = prop::sample::select(vec![
        Outcome::Completed,
        Outcome::Failed,
        Outcome::Cancelled,
        Outcome::Incomplete,
    ]);
    let head = (
        outcome,
        text(),
        epoch(),
        any::<u64>(),
        any::<u32>(),
        of(end_error()),
    );
    let value = (of(raw_value()), of(text()), of(raw_value()));
    let costs = vec(
        (any::<u32>(), of(text()), usage(), 0..1_000_u64).prop_map(|(n, model, usage, repairs)| {
            AttemptUsage {
                n,
                model,
                usage,
                repairs,
            }
        }),
        0..3,
    );
    let rest = (timings(), any::<bool>());
    (head, value, usage(), costs, rest).prop_map(
        |(
            (outcome, job_id, epoch, seq, attempt, error),
            (value, sha256, best),
            usage,
            attempts,
            (timings, durable),
        )| {
            ServerMessage::End(Box::new(JobEnd {
                outcome,
                job_id,
                epoch,
                seq,
                attempt,
                error,
                value,
                sha256,
                best,
                usage,
                attempts,
                timings,
                durable,
            }))
        },
    )
}

fn hook() -> impl Strategy<Value = Hook> {
    let kind = prop::sample::select(vec![
        HookKind::Request,
        HookKind::FirstToken,
        HookKind::AttemptEnd,
    ]);
    let names = (of(text()), of(text()), of(text()), of(text()));
    let sizes = any::<(Option<u32>, Option<u64>, Option<u64>, Option<u32>, Option<u64>)>();
    let costs = (errors(), of(usage()), of(usage()));
    (kind, any::<u32>(), names, sizes, costs).prop_map(|(kind, attempt, names, sizes, costs)| Hook {
        kind,
        attempt,
        provider: names.0,
        model: names.1,
        mode: names.2,
        messages: sizes.0,
        prompt_bytes: sizes.1,
        schema_bytes: sizes.2,
        max_tokens: sizes.3,
        after_ms: sizes.4,
        finish: names.3,
        errors: costs.0,
        usage: costs.1,
        total: costs.2,
    })
}

/// What is told beside the value: notes and hooks.
fn beside() -> impl Strategy<Value = ServerMessage> {
    let kind = prop::sample::select(vec![
        NoteKind::Reasoning,
        NoteKind::Text,
        NoteKind::Warning,
        NoteKind::Invalid,
    ]);
    let note = (kind, text(), errors()).prop_map(|(kind, text, errors)| Note { kind, text, errors });
    let place = || (text(), epoch(), any::<u64>());
    prop_oneof![
        (place(), hook()).prop_map(|((job_id, epoch, seq), event)| {
            ServerMessage::Hook(Box::new(JobEvent {
                job_id,
                epoch,
                seq,
                event,
            }))
        }),
        (place(), note).prop_map(|((job_id, epoch, seq), event)| {
            ServerMessage::Note(JobEvent {
                job_id,
                epoch,
                seq,
                event,
            })
        }),
    ]
}

/// What happens to a job.
fn happening() -> impl Strategy<Value = ServerMessage> {
    let up = (0..20_u64).prop_map(|up| Places(vec![up.to_string()]));
    let places = || of(prop_oneof![up.clone(), vec(text(), 0..3).prop_map(Places)]);
    let status = (
        text(),
        epoch(),
        any::<u64>(),
        state(),
        of(text()),
        any::<Option<u64>>(),
    );
    let attempt = (
        text(),
        epoch(),
        any::<u64>(),
        any::<u32>(),
        reason(),
        any::<bool>(),
    );
    prop_oneof![
        (text(), any::<u64>(), ops(), places()).prop_map(|(tag, seq, ops, at)| ServerMessage::Patch(Patch {
            tag,
            seq,
            ops,
            at
        })),
        (text(), any::<u64>(), ops(), places())
            .prop_map(|(job_id, seq, ops, at)| ServerMessage::LongPatch(JobPatch { job_id, seq, ops, at })),
        status.prop_map(|(job_id, epoch, seq, status, reason, until_ms)| {
            ServerMessage::Status(JobEvent {
                job_id,
                epoch,
                seq,
                event: StatusChange {
                    status,
                    reason,
                    until_ms,
                },
            })
        }),
        (attempt, vec(text(), 0..3), errors()).prop_map(
            |((job_id, epoch, seq, attempt, reason, reset), at, errors)| {
                ServerMessage::Attempt(Box::new(JobEvent {
                    job_id,
                    epoch,
                    seq,
                    event: AttemptBegins {
                        attempt,
                        reason,
                        reset,
                        at,
                        errors,
                    },
                }))
            }
        ),
        beside(),
    ]
}

/// Any server message.
pub(crate) fn server_message() -> impl Strategy<Value = ServerMessage> {
    prop_oneof![3 => answer(), 3 => happening(), 1 => state_now(), 1 => snapshot(), 2 => end()]
}
