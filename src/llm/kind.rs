//! The wire formats that models are asked in.

/// How a provider is spoken with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Kind {
    /// OpenAI's chat completions, which most vendors and local servers speak, too.
    #[default]
    OpenAi,
    /// Anthropic's Messages.
    Anthropic,
    /// Google's `streamGenerateContent`.
    Gemini,
    /// Ollama's own `/api/chat`.
    Ollama,
    /// OpenAI's Responses.
    Responses,
}

/// How an answer is cut into frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framing {
    /// Server-sent events.
    Events,
    /// A JSON text a line.
    Lines,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::OpenAi,
        Self::Anthropic,
        Self::Gemini,
        Self::Ollama,
        Self::Responses,
    ];

    /// Its word in the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
            Self::Responses => "responses",
        }
    }

    pub(super) const fn framing(self) -> Framing {
        match self {
            Self::OpenAi | Self::Anthropic | Self::Gemini | Self::Responses => Framing::Events,
            Self::Ollama => Framing::Lines,
        }
    }
}
