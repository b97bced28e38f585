//! What was changed, why, by whom and when. Lines are only ever added, and forgotten by age when an object has
//! newer ones.

use creel_api::event::HistoryEntry;
use jiff::Timestamp;

use crate::{Fault, Store};

/// Which lines of the history. What is `None` leaves all in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// `Agent`, `Tenant`, `Secret`, `Release`, `Channel` or `Node`.
    pub kind: Option<String>,
    /// `tenant/name` for agents and secrets, else the name.
    pub key: Option<String>,
}

/// revision, at, who, kind, key, why, after
type Line = (i64, i64, String, String, String, String, Option<String>);

impl Store {
    /// The newest `limit` lines of the history, newest first.
    pub async fn history(&self, filter: &Filter, limit: u32) -> Result<Vec<HistoryEntry>, Fault> {
        let lines: Vec<Line> = sqlx::query_as(
            "SELECT revision, at, who, kind, key, why, after FROM history
             WHERE (CAST($1 AS TEXT) IS NULL OR kind = $1) AND (CAST($2 AS TEXT) IS NULL OR key = $2)
             ORDER BY revision DESC, ordinal DESC LIMIT $3",
        )
        .bind(&filter.kind)
        .bind(&filter.key)
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        Ok(lines.into_iter().map(entry).collect())
    }

    /// Forgets lines from before `older_than`, but keeps the newest `keep_per_object` of each object whatever their
    /// age. Gives how many went.
    pub async fn prune_history(&self, keep_per_object: u32, older_than: Timestamp) -> Result<u64, Fault> {
        let mut writer = self.writer.lock().await;
        let pruned = sqlx::query(
            "DELETE FROM history WHERE (revision, ordinal) IN (
                 SELECT revision, ordinal FROM (
                     SELECT revision, ordinal, at, ROW_NUMBER() OVER (
                         PARTITION BY kind, key ORDER BY revision DESC, ordinal DESC) AS place FROM history
                 ) AS placed WHERE place > $1 AND at < $2)",
        )
        .bind(i64::from(keep_per_object))
        .bind(older_than.as_microsecond())
        .execute(&mut *writer)
        .await?;
        Ok(pruned.rows_affected())
    }
}

fn entry((revision, at, who, kind, key, why, after): Line) -> HistoryEntry {
    HistoryEntry {
        revision: revision.unsigned_abs(),
        at: Timestamp::from_microsecond(at).unwrap_or(Timestamp::UNIX_EPOCH),
        who,
        kind,
        key,
        why,
        after: after.and_then(|after| serde_json::from_str(&after).ok()),
    }
}
