//! One run of the program: what was typed, what the environment and the settings say, and what follows from them.

use creel_api::meta::DEFAULT_TENANT;

use crate::args::{Global, Output};
use crate::client::Client;
use crate::data::Data;
use crate::failure::Failure;
use crate::place::{self, Environment, Place};
use crate::settings::{self, Settings};

/// See the module.
pub(crate) struct Session {
    pub(crate) global: Global,
    env: Environment,
}

impl Session {
    pub(crate) fn new(global: Global) -> Self {
        Self { global, env: Environment::read() }
    }

    /// The settings are read only where they can matter, so that a fault in them spoils no command that names all it
    /// needs.
    fn settings(&self) -> Result<Settings, Failure> {
        let typed = self.global.server.is_some() || self.global.data.is_some();
        let is_enough = typed || self.env.server.is_some() || self.env.data.is_some();
        if is_enough && self.global.context.is_none() {
            Ok(Settings::default())
        } else {
            settings::load(&settings::file())
        }
    }

    pub(crate) fn place(&self) -> Result<Place, Failure> {
        place::server(&self.global, &self.env, &self.settings()?)
    }

    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Client::new(self.place()?)
    }

    pub(crate) fn data(&self) -> Result<Data, Failure> {
        place::data(&self.global, &self.env, &self.settings()?)
    }

    /// The tenant of a name that has none.
    pub(crate) fn tenant(&self) -> &str {
        self.global.tenant.as_deref().unwrap_or(DEFAULT_TENANT)
    }

    pub(crate) fn output(&self) -> Output {
        self.global.output.unwrap_or(Output::Table)
    }

    /// Whether a script reads what is printed.
    pub(crate) fn is_for_scripts(&self) -> bool {
        matches!(self.output(), Output::Json | Output::Yaml)
    }
}
