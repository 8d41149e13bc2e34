//! Errors of Redis as errors of engines.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::backend::BackendError;

/// An error of our own, in the words of an operator.
pub(super) fn told(what: &str) -> RedisError {
    RedisError::from(std::io::Error::other(what.to_owned()))
}

/// An error of Redis as one of engines.
pub(super) fn unavailable(error: &RedisError) -> BackendError {
    if error.is_timeout() {
        return BackendError::Unavailable("Redis does not answer".to_owned());
    }
    let told = error.to_string();
    match (error.kind(), code(error)) {
        (_, Some("OOM")) => BackendError::NoRoom("Redis has reached its `maxmemory`".to_owned()),
        (_, Some("MISCONF")) => BackendError::NoRoom("Redis cannot write to its disk".to_owned()),
        (_, Some("READONLY" | "NOREPLICAS" | "LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN")) => {
            BackendError::Unavailable(told)
        }
        (_, Some("WRONGTYPE")) => BackendError::Corrupt(told),
        // The slot of the script's keys is on its way to another server.
        _ if told.contains("non local key") => BackendError::Unavailable(told),
        (ErrorKind::Parse | ErrorKind::UnexpectedReturnType, _) => BackendError::Corrupt(told),
        (ErrorKind::Server(ServerErrorKind::ResponseError), _) => BackendError::Corrupt(told),
        _ => BackendError::Unavailable(told),
    }
}

/// What Redis said against a part of a script, in its own words.
pub(super) fn refused(said: &str) -> BackendError {
    let line = said.trim_start_matches('-').replace(['\r', '\n'], " ");
    // What a script has caught by itself begins with its place there, where Redis 6.2 or Lua say it.
    let is_placed = line.trim_start_matches('@').starts_with("user_script");
    let line = if is_placed { format!("ERR {line}") } else { line };
    let error =
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).and_then(redis::Value::extract_error);
    match error {
        Err(error) => unavailable(&error),
        Ok(_) => BackendError::Corrupt(line),
    }
}

/// The code of an error. Where a script has met it, Redis 6.2 tells it within a sentence, behind the place in the script;
/// where a script passes on what it has met, it stands behind `ERR`.
pub(super) fn code(error: &RedisError) -> Option<&str> {
    let told = error.code()?;
    let Some(detail) = error.detail().filter(|_| told == "ERR") else {
        return Some(told);
    };
    let is_code = |word: &&str| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase());
    if let Some(passed_on) = detail.split(' ').next().filter(is_code) {
        return Some(passed_on);
    }
    let met = detail.rsplit_once("user_script").map_or("", |(_, met)| met);
    let mut words = met.split([' ', ':']).map(|word| word.trim_start_matches('-'));
    words.find(is_code).or(Some(told))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Redis says where a script's command is refused, before 7.0 and since.
    #[test]
    fn an_error_within_a_script_keeps_its_code() {
        let no_room = |told: &BackendError| matches!(told, BackendError::NoRoom(_));
        let away = |told: &BackendError| matches!(told, BackendError::Unavailable(_));
        let corrupt = |told: &BackendError| matches!(told, BackendError::Corrupt(_));
        type Is<'a> = &'a dyn Fn(&BackendError) -> bool;
        let cases: [(&str, Is<'_>); 11] = [
            (
                "@user_script: 17: -OOM command not allowed when used memory > 'maxmemory'.",
                &no_room,
            ),
            (
                "user_script:312: attempt to perform arithmetic on a nil value",
                &corrupt,
            ),
            (
                "ERR READONLY You can't write against a read only replica. script: 68, on @user_script:39.",
                &away,
            ),
            (
                "ERR Error running script (call to f_3b): @user_script:140: @user_script: 140: -OOM command not allowed when used memory > 'maxmemory'.",
                &no_room,
            ),
            (
                "ERR Error running script (call to f_3b): @user_script:7: @user_script: 7: -MISCONF Redis is configured to save RDB snapshots",
                &no_room,
            ),
            (
                "ERR Error running script (call to f_3b): @user_script:7: @user_script: 7: -READONLY You can't write against a read only replica.",
                &away,
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'. script: 3b, on @user_script:9.",
                &no_room,
            ),
            ("READONLY You can't write against a read only replica.", &away),
            (
                "ERR Error running script (call to f_3b): @user_script:7: WRONGTYPE Operation against a key holding the wrong kind of value",
                &corrupt,
            ),
            (
                "WRONGTYPE Operation against a key holding the wrong kind of value script: 3b, on @user_script:7.",
                &corrupt,
            ),
            (
                "ERR user_script:3: attempt to compare nil with number script: 3b, on @user_script:3.",
                &corrupt,
            ),
        ];
        for (line, is) in cases {
            assert!(is(&refused(line)), "{line}: {:?}", refused(line));
        }
    }
}
