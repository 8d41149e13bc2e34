//! The table of codes: what went wrong, and what the client should do about it.

/// What is told of a job that is unknown, past its retention, or another tenant's: of all three the same.
pub const NO_SUCH_JOB: &str = "no such job here, or it is past its retention";

/// A code in an `error` message or an HTTP problem. The words are stable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the table below gives each its meaning")]
pub enum Code {
    BadJson,
    TooDeep,
    BadRequest,
    BinaryNotSupported,
    UnsupportedSubprotocol,
    OriginNotAllowed,
    HostNotAllowed,
    Unauthorized,
    Forbidden,
    RateLimited,
    TooManyConnections,
    TooManyPending,
    TooManyViewers,
    NotFound,
    UnknownModel,
    SchemaInvalid,
    SchemaTooLarge,
    SchemaTooComplex,
    SchemaRemoteRef,
    SchemaPatternUnsupported,
    SchemaPatternTooLarge,
    SchemaUnsatisfiable,
    IdempotencyConflict,
    VerdictConflict,
    QueueFull,
    PayloadTooLarge,
    Draining,
    Unavailable,
    Internal,
}

/// One row of the table.
struct Row {
    code: Code,
    name: &'static str,
    status: u16,
    /// Whether the same request may succeed later.
    again: bool,
    meaning: &'static str,
}

const fn row(code: Code, name: &'static str, status: u16, again: bool, meaning: &'static str) -> Row {
    Row {
        code,
        name,
        status,
        again,
        meaning,
    }
}

const TABLE: &[Row] = &[
    row(
        Code::BadJson,
        "bad_json",
        400,
        false,
        "The message is no JSON object, or an object in it names a member twice; the place is told.",
    ),
    row(
        Code::TooDeep,
        "too_deep",
        400,
        false,
        "The message nests deeper than the limit.",
    ),
    row(
        Code::BadRequest,
        "bad_request",
        400,
        false,
        "A field is unknown, missing, of a wrong type or out of range; `path` says which.",
    ),
    row(
        Code::BinaryNotSupported,
        "binary_not_supported",
        400,
        false,
        "A binary frame on the JSON subprotocol.",
    ),
    row(
        Code::UnsupportedSubprotocol,
        "unsupported_subprotocol",
        400,
        false,
        "None of the offered subprotocols is spoken here.",
    ),
    row(
        Code::OriginNotAllowed,
        "origin_not_allowed",
        403,
        false,
        "A web page of another origin asks.",
    ),
    row(
        Code::HostNotAllowed,
        "host_not_allowed",
        421,
        false,
        "The request names a host that this server is not.",
    ),
    row(
        Code::Unauthorized,
        "unauthorized",
        401,
        false,
        "No key, or one that is not known here.",
    ),
    row(
        Code::Forbidden,
        "forbidden",
        403,
        false,
        "The key lacks the scope; the message names it.",
    ),
    row(
        Code::RateLimited,
        "rate_limited",
        429,
        true,
        "Too many messages, submits, attaches or upgrades; wait `retry_after_ms`.",
    ),
    row(
        Code::TooManyConnections,
        "too_many_connections",
        429,
        true,
        "As many connections from this address as may be; close one.",
    ),
    row(
        Code::TooManyPending,
        "too_many_pending",
        429,
        true,
        "Too many requests wait for an answer on this socket.",
    ),
    row(
        Code::TooManyViewers,
        "too_many_viewers",
        429,
        false,
        "The socket watches as many jobs as it may; detach one.",
    ),
    row(
        Code::NotFound,
        "not_found",
        404,
        false,
        "No such job, or not yours.",
    ),
    row(
        Code::UnknownModel,
        "unknown_model",
        422,
        false,
        "The model is not offered here; the nearest name is told.",
    ),
    row(
        Code::SchemaInvalid,
        "schema_invalid",
        422,
        false,
        "The schema is none; `path` points into it.",
    ),
    row(
        Code::SchemaTooLarge,
        "schema_too_large",
        422,
        false,
        "The schema is over a limit of bytes, depth or count.",
    ),
    row(
        Code::SchemaTooComplex,
        "schema_too_complex",
        422,
        false,
        "The schema's references multiply beyond the limit.",
    ),
    row(
        Code::SchemaRemoteRef,
        "schema_remote_ref",
        422,
        false,
        "A `$ref` leads outside; only `#/…` is allowed.",
    ),
    row(
        Code::SchemaPatternUnsupported,
        "schema_pattern_unsupported",
        422,
        false,
        "A pattern needs look-around or back-references.",
    ),
    row(
        Code::SchemaPatternTooLarge,
        "schema_pattern_too_large",
        422,
        false,
        "A pattern is over a limit.",
    ),
    row(
        Code::SchemaUnsatisfiable,
        "schema_unsatisfiable",
        422,
        false,
        "No value can satisfy the schema.",
    ),
    row(
        Code::IdempotencyConflict,
        "idempotency_conflict",
        409,
        false,
        "The key was used with another request; the job is named.",
    ),
    row(
        Code::VerdictConflict,
        "verdict_conflict",
        409,
        false,
        "The job does not wait for this verdict; the message says where it stands.",
    ),
    row(
        Code::QueueFull,
        "queue_full",
        503,
        true,
        "As many jobs wait as may, of all or of this tenant, or they leave the line too slowly for another; come again after `retry_after_ms`.",
    ),
    row(
        Code::PayloadTooLarge,
        "payload_too_large",
        413,
        false,
        "The body is over the limit.",
    ),
    row(
        Code::Draining,
        "draining",
        503,
        true,
        "The server is going down; another one, or this one later, will take it.",
    ),
    row(
        Code::Unavailable,
        "unavailable",
        503,
        true,
        "The engine cannot be reached; come again after `retry_after_ms`.",
    ),
    row(
        Code::Internal,
        "internal",
        500,
        true,
        "Our fault; the server's log tells more.",
    ),
];

impl Code {
    /// Every code, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.code)
    }

    /// The code named `name`.
    pub fn named(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.code)
    }

    /// The word on the wire.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        self.row().status
    }

    /// Whether the same request may succeed later.
    pub fn again(self) -> bool {
        self.row().again
    }

    /// What it means, in a sentence.
    pub fn meaning(self) -> &'static str {
        self.row().meaning
    }

    fn row(self) -> &'static Row {
        // The table is total: a test walks every variant.
        TABLE
            .iter()
            .find(|row| row.code == self)
            .unwrap_or(&TABLE[TABLE.len() - 1])
    }
}

/// Why a socket is closed. 3000–3499 and 4000–4499 tell a client to reconnect, as 1001, 1012 and 1013 do; the
/// others tell it not to, and neither does 4401, which another try would meet again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Close {
    /// The client closed.
    Normal,
    /// No pong came (1001): reconnect.
    Silent,
    /// Bytes that are no WebSocket frames, or frames against the rules.
    Protocol,
    /// Binary frames on a text protocol.
    Unsupported,
    /// Text that is not UTF-8.
    NotUtf8,
    /// Rules broken again and again.
    Policy,
    /// More fragments or control frames than anyone needs.
    Flood,
    /// A message over the limit.
    TooLarge,
    /// Our fault.
    Internal,
    /// The server goes down: reconnect.
    Restart,
    /// The client reads too slowly: reconnect.
    Slow,
    /// No key, none in time, or one that is not known.
    Unauthorized,
}

impl Close {
    /// Every way a server closes, by number.
    pub const ALL: [Self; 12] = [
        Self::Normal,
        Self::Silent,
        Self::Protocol,
        Self::Unsupported,
        Self::NotUtf8,
        Self::Policy,
        Self::Flood,
        Self::TooLarge,
        Self::Internal,
        Self::Restart,
        Self::Slow,
        Self::Unauthorized,
    ];

    /// Whether a client that is closed with `number` should come back by itself. 1006 is what a client's own library
    /// says where the connection was lost.
    pub const fn invites_back(number: u16) -> bool {
        matches!(number, 1001 | 1006 | 1012 | 1013 | 3000..=3499 | 4000..=4400 | 4402..=4499)
    }

    /// The number (RFC 6455 §7.4, and the registry of close codes).
    pub const fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::Silent => 1001,
            Self::Protocol => 1002,
            Self::Unsupported => 1003,
            Self::NotUtf8 => 1007,
            Self::Policy | Self::Flood => 1008,
            Self::TooLarge => 1009,
            Self::Internal => 1011,
            Self::Restart => 1012,
            Self::Slow => 1013,
            Self::Unauthorized => 4401,
        }
    }

    /// The reason that is sent with it.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::Silent => "no pong",
            Self::Protocol => "protocol error",
            Self::Unsupported => "text frames only",
            Self::NotUtf8 => "text must be UTF-8",
            Self::Policy => "too many bad messages",
            Self::Flood => "too many frames",
            Self::TooLarge => "message over the limit",
            Self::Internal => "internal error",
            Self::Restart => "going down, reconnect",
            Self::Slow => "read too slowly, reconnect",
            Self::Unauthorized => "unauthorized",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_row_and_its_name_leads_back() {
        for code in Code::all() {
            assert_eq!(TABLE.iter().filter(|row| row.code == code).count(), 1);
            assert_eq!(Code::named(code.name()), Some(code));
        }
        // The last variant closes the list: a variant without a row would make the two differ.
        assert_eq!(Code::Internal as usize + 1, TABLE.len());
    }
}
