//! OpenAI's chat completions, as OpenAI itself and by base URL many others speak them: Azure, vLLM, llama.cpp, Groq,
//! OpenRouter, Mistral, DeepSeek, Together, xAI, LM Studio, Ollama's `/v1`.

mod body;
mod decode;
mod frame;

pub(super) use self::body::{Manner, Thinks, body};
pub(super) use self::decode::Decoder;
