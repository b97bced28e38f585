//! Reading all there is, at start. Everything is read in one transaction, so it belongs to one revision.

use creel_api::node::AgentReport;
use creel_core::world::{Change, World};
use sqlx::sqlite::SqliteConnection;

use crate::object::{Kind, change_of};
use crate::{Fault, Store};

impl Store {
    /// The World as it was last committed.
    pub async fn load(&self) -> Result<World, Fault> {
        let mut reading = self.readers.begin().await?;
        let mut world = World::empty();
        world.epoch = number(&mut reading, "epoch").await?;
        let changes = objects(&mut reading).await?;
        let revision = number(&mut reading, "revision").await?;
        world.apply(revision, &changes);
        Ok(world)
    }

    /// The newest report of each agent. How long ago it was true is for the reader to judge.
    pub async fn reports(&self) -> Result<Vec<AgentReport>, Fault> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT agent, body FROM report ORDER BY agent").fetch_all(&self.readers).await?;
        rows.into_iter().map(|(agent, body)| parse(agent, &body)).collect()
    }
}

fn parse(key: String, body: &str) -> Result<AgentReport, Fault> {
    serde_json::from_str(body).map_err(|source| Fault::Unreadable { kind: "report".into(), key, source })
}

async fn objects(reading: &mut SqliteConnection) -> Result<Vec<Change>, Fault> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("SELECT kind, key, body FROM object ORDER BY kind, key").fetch_all(reading).await?;
    let known = rows.into_iter().filter_map(|(kind, key, body)| Some((Kind::parse(&kind)?, key, body)));
    known.map(|(kind, key, body)| change_of(kind, &key, &body)).collect()
}

pub(crate) async fn number(connection: &mut SqliteConnection, name: &str) -> Result<u64, Fault> {
    let value: i64 =
        sqlx::query_scalar("SELECT value FROM meta WHERE name = $1").bind(name).fetch_one(connection).await?;
    Ok(value.unsigned_abs())
}
