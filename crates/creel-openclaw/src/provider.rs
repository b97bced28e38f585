//! The model providers that creel can set up from a key alone.
//!
//! OpenClaw's bundled catalogue knows their addresses and models, so a config needs no more than a default model and
//! a reference to the key.

use serde_json::{Map, Value, json};

/// A model provider with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// anthropic.com.
    Anthropic,
    /// openai.com.
    OpenAi,
    /// openrouter.ai.
    OpenRouter,
}

impl Provider {
    /// Every provider, in the order in which a key found in the environment counts.
    pub const ALL: [Self; 3] = [Self::Anthropic, Self::OpenAi, Self::OpenRouter];

    /// OpenClaw's name for it; also a good name for the secret that holds its key.
    pub fn id(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::OpenRouter => "openrouter",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Anthropic => "Anthropic",
            Self::OpenAi => "OpenAI",
            Self::OpenRouter => "OpenRouter",
        }
    }

    /// The environment variable that its key is usually in.
    pub fn key_variable(self) -> &'static str {
        match self {
            Self::Anthropic => "ANTHROPIC_API_KEY",
            Self::OpenAi => "OPENAI_API_KEY",
            Self::OpenRouter => "OPENROUTER_API_KEY",
        }
    }

    /// Where its key goes in an agent's config, as a reference to a secret.
    pub fn key_path(self) -> &'static str {
        match self {
            Self::Anthropic => "models.providers.anthropic.apiKey",
            Self::OpenAi => "models.providers.openai.apiKey",
            Self::OpenRouter => "models.providers.openrouter.apiKey",
        }
    }

    /// A model that OpenClaw's own guide sets up with a fresh key (2026.9.6).
    pub fn default_model(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic/claude-opus-5",
            Self::OpenAi => "openai/gpt-6-astra",
            Self::OpenRouter => "openrouter/auto",
        }
    }

    /// The config overlay that uses it; the key comes in at [`Provider::key_path`].
    pub fn config(self) -> Map<String, Value> {
        let model = json!({"defaults": {"model": {"primary": self.default_model()}}});
        Map::from_iter([("agents".to_owned(), model)])
    }

    /// The provider of this name.
    pub fn of(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.id() == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_provider_is_named_alike_everywhere() {
        for provider in Provider::ALL {
            assert_eq!(Provider::of(provider.id()), Some(provider));
            assert_eq!(provider.key_path(), format!("models.providers.{}.apiKey", provider.id()));
            assert!(provider.default_model().starts_with(&format!("{}/", provider.id())));
        }
    }
}
