//! How groups begin and end.

use larder_core::Namespace;
use sqlx::{AssertSqlSafe, Row as _};

use super::super::{failed, schema};
use super::{Place, SqliteStore, micros};
use crate::limits::GROUPS_MAX;
use crate::{Error, Group, Start};

impl SqliteStore {
    pub(super) async fn open_group_now(&self, group: &Group) -> Result<(), Error> {
        group.check()?;
        let p = self.names().prefix();
        let namespaces = group.namespaces.as_deref().map(lines);
        let mut transaction = self.begin().await?;
        let meta = schema::meta(&mut transaction, self.names()).await?;
        if meta.source != self.outbox.source_id().get() {
            return Err(Error::WrongDatabase);
        }
        let there = format!("SELECT namespaces FROM {p}group WHERE name = ?1");
        let there = sqlx::query(AssertSqlSafe(there))
            .bind(&group.name)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed)?;
        if let Some(row) = there {
            let its: Option<String> = row.try_get(0).map_err(failed)?;
            if its != namespaces {
                let has = its.map_or_else(|| "all".to_owned(), |its| its.trim().replace('\n', ", "));
                return Err(group.other_namespaces(&has));
            }
        } else {
            let next = match group.start {
                Start::Oldest => Place::before(0),
                Start::Head => Place::before(meta.position.saturating_add(1)),
            };
            let begun = format!(
                "INSERT INTO {p}group (name, namespaces, next_position, next_ordinal, keep_micros, dead_max) \
                 SELECT ?1, ?2, ?3, ?4, 0, 0 WHERE (SELECT count(*) FROM {p}group) < {GROUPS_MAX}"
            );
            let begun = sqlx::query(AssertSqlSafe(begun))
                .bind(&group.name)
                .bind(namespaces)
                .bind(next.position)
                .bind(next.ordinal)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
            if begun.rows_affected() == 0 {
                return Err(group.one_too_many());
            }
        }
        let kept = format!(
            "UPDATE {p}group SET keep_micros = ?2, dead_max = ?3 WHERE name = ?1 AND (keep_micros <> ?2 OR dead_max <> ?3)"
        );
        sqlx::query(AssertSqlSafe(kept))
            .bind(&group.name)
            .bind(micros(group.keep_acknowledged))
            .bind(i64::try_from(group.dead_letters_max).unwrap_or(i64::MAX))
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    pub(super) async fn drop_group_now(&self, group: &str) -> Result<bool, Error> {
        let p = self.names().prefix();
        let mut transaction = self.begin().await?;
        let known = match self.known(&mut transaction, group).await {
            Ok(known) => known,
            Err(Error::NoSuchGroup { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        for statement in [
            format!("DELETE FROM {p}claim WHERE group_id = ?1"),
            format!("DELETE FROM {p}delivery WHERE group_id = ?1"),
            format!("DELETE FROM {p}group WHERE id = ?1"),
        ] {
            sqlx::query(AssertSqlSafe(statement))
                .bind(known.id)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)?;
        tracing::warn!(group, "a group was dropped, with all that it had yet to do");
        Ok(true)
    }
}

fn lines(namespaces: &[Namespace]) -> String {
    let names = namespaces.iter().map(|namespace| format!("{namespace}\n"));
    std::iter::once("\n".to_owned()).chain(names).collect()
}
