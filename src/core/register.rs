//! The register of nodes: what rounds of probes found out ([`rounds`](crate::rounds)), in the database
//! of the ledger and beside it. It has neither revision nor history.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::checks::Health;
use crate::rounds::{NodeTold, Round, Told};
use crate::sql::{Cell, Sql};
use crate::storage::StorageError;
use crate::time::Timestamp;

/// For how long a round is believed. If none comes any more, nobody may stay down by what was.
const STALE: Duration = Duration::from_secs(300);

/// After how long a node that nobody probes any more is forgotten: longer than the longest interval.
const FORGET: Duration = Duration::from_secs(2 * 86_400);

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS rounds (
        one INTEGER PRIMARY KEY,
        round INTEGER NOT NULL
    ) STRICT",
    "CREATE TABLE IF NOT EXISTS nodes (
        upstream TEXT NOT NULL,
        authority TEXT NOT NULL,
        health INTEGER NOT NULL,
        probed INTEGER NOT NULL,
        PRIMARY KEY (upstream, authority)
    ) STRICT, WITHOUT ROWID",
];

/// The register.
#[derive(Debug, Default)]
pub struct Register {
    round: u64,
    nodes: BTreeMap<(Box<str>, Box<str>), Row>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    /// See [`Health::word`].
    health: u64,
    probed: u64,
}

impl Register {
    /// What the database remembers; makes the tables where there are none.
    pub fn restore(sql: &impl Sql) -> Result<Self, StorageError> {
        TABLES.iter().try_for_each(|table| sql.query(table, &[]).map(drop))?;
        let round = sql.query("SELECT round FROM rounds", &[])?;
        let round = round.first().and_then(|row| row.first()).map_or(0, unsigned);
        let rows = sql.query("SELECT upstream, authority, health, probed FROM nodes", &[])?;
        let nodes = rows.iter().filter_map(|row| match row.as_slice() {
            [Cell::Text(upstream), Cell::Text(authority), health, probed] => {
                let row = Row { health: unsigned(health), probed: unsigned(probed) };
                Some(((upstream.as_str().into(), authority.as_str().into()), row))
            }
            _ => None,
        });
        Ok(Self { round, nodes: nodes.collect() })
    }

    /// Notes what a round found out. What cannot be written counts for nothing.
    pub fn note(&mut self, told: &Round, sql: &impl Sql) -> Result<(), StorageError> {
        // One more than the last round may be told already, see `told`.
        let round = told.at.max(self.round.saturating_add(2));
        let mut nodes = self.nodes.clone();
        for finding in &told.found {
            let key = (finding.upstream.clone(), finding.authority.clone());
            let health = Health::restore(nodes.get(&key).map_or(0, |row| row.health));
            finding.verdict.map(|verdict| health.note_verdict(verdict));
            nodes.insert(key, Row { health: health.word(), probed: round });
        }
        let oldest = round.saturating_sub(u64::try_from(FORGET.as_millis()).unwrap_or(u64::MAX));
        nodes.retain(|_, row| row.probed >= oldest);
        sql.atomically(&mut || {
            let values = [number(round)];
            sql.query("INSERT OR REPLACE INTO rounds (one, round) VALUES (1, ?1)", &values)?;
            sql.query("DELETE FROM nodes WHERE probed < ?1", &[number(oldest)])?;
            let mut probed = nodes.iter().filter(|(_, row)| row.probed == round);
            probed.try_for_each(|(key, row)| write(sql, key, *row))
        })?;
        (self.round, self.nodes) = (round, nodes);
        Ok(())
    }

    /// All that is known, however old.
    pub fn all(&self) -> Told {
        let node = |((upstream, authority), row): (&(Box<str>, Box<str>), &Row)| NodeTold {
            upstream: upstream.clone(),
            authority: authority.clone(),
            phase: Health::restore(row.health).phase(),
            probed: row.probed,
        };
        Told { round: self.round, nodes: self.nodes.iter().map(node).collect() }
    }

    /// What somebody is to be told who heard of the round `known`, if that is anything new. When there
    /// has been no round for a while, that is that nothing is known: as if a round had found nothing.
    pub fn told(&self, known: u64, now: Timestamp) -> Option<Told> {
        if self.round == 0 {
            return None;
        }
        let is_stale = now.since(Timestamp::from_millis(self.round)) > STALE;
        let empty = || Told { round: self.round.saturating_add(1), nodes: Vec::new() };
        let told = if is_stale { empty() } else { self.all() };
        // A round that is unknown here is of a clock that went wrong, or of a register that is gone.
        (told.round != known).then_some(told)
    }
}

fn write(sql: &impl Sql, key: &(Box<str>, Box<str>), row: Row) -> Result<(), StorageError> {
    let text = |text: &str| Cell::Text(text.to_owned());
    let values = [text(&key.0), text(&key.1), number(row.health), number(row.probed)];
    sql.query(
        "INSERT OR REPLACE INTO nodes (upstream, authority, health, probed)
         VALUES (?1, ?2, ?3, ?4)",
        &values,
    )
    .map(drop)
}

fn number(number: u64) -> Cell {
    Cell::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn unsigned(cell: &Cell) -> u64 {
    match cell {
        Cell::Integer(number) => u64::try_from(*number).unwrap_or_default(),
        Cell::Null | Cell::Text(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Phase;
    use serde_json::{Value, json};
    use std::cell::RefCell;

    /// What was asked of a database that has these rows of nodes and says yes to everything else.
    #[derive(Default)]
    struct Fake {
        asked: RefCell<Vec<String>>,
        round: Vec<Vec<Cell>>,
        nodes: Vec<Vec<Cell>>,
        is_full: bool,
    }

    impl Sql for Fake {
        fn query(&self, sql: &str, _: &[Cell]) -> Result<Vec<Vec<Cell>>, StorageError> {
            self.asked.borrow_mut().push(sql.chars().take(22).collect());
            Ok(match sql {
                _ if sql.starts_with("SELECT round") => self.round.clone(),
                _ if sql.starts_with("SELECT upstream") => self.nodes.clone(),
                _ => Vec::new(),
            })
        }

        fn atomically(
            &self,
            work: &mut dyn FnMut() -> Result<(), StorageError>,
        ) -> Result<(), StorageError> {
            if self.is_full { Err(StorageError::Full("disk".to_owned())) } else { work() }
        }
    }

    /// A round that found this out of a node.
    fn found(verdict: &Value, at_secs: u64) -> Round {
        let finding = json!({"upstream": "u", "authority": "a:80", "verdict": verdict});
        let round = json!({"at": at_secs * 1000, "found": [finding]});
        serde_json::from_value(round).expect("a round")
    }

    fn nothing(at_secs: u64) -> Round {
        Round { at: at_secs * 1000, found: Vec::new() }
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn phases(register: &Register) -> Vec<Phase> {
        register.all().nodes.iter().map(|node| node.phase).collect()
    }

    #[test]
    fn a_node_is_down_after_its_number_of_rounds_and_comes_back_after_another() {
        let sql = Fake::default();
        let mut register = Register::restore(&sql).expect("it is in memory");
        let mut phase = |round: u64, verdict: &Value| {
            register.note(&found(verdict, 60 * round), &sql).expect("it is in memory");
            phases(&register)
        };
        let (bad, good) =
            (json!({"counter": "http", "limit": 2}), json!({"counter": "success", "limit": 2}));
        assert_eq!(phase(1, &Value::Null), [Phase::Healthy]);
        assert_eq!(phase(2, &bad), [Phase::MostlyHealthy]);
        assert_eq!(phase(3, &Value::Null), [Phase::MostlyHealthy]);
        assert_eq!(phase(4, &bad), [Phase::Unhealthy]);
        assert_eq!(phase(5, &good), [Phase::MostlyUnhealthy]);
        assert_eq!(phase(6, &good), [Phase::Healthy]);
    }

    #[test]
    fn a_later_life_goes_on_where_the_database_is() {
        let word = Health::default();
        word.set(Phase::Unhealthy);
        let text = |text: &str| Cell::Text(text.to_owned());
        let row = vec![text("u"), text("a:80"), number(word.word()), number(60_000)];
        let sql = Fake { round: vec![vec![number(61_000)]], nodes: vec![row], ..Fake::default() };
        let register = Register::restore(&sql).expect("it is in memory");
        assert_eq!(phases(&register), [Phase::Unhealthy]);
        assert_eq!(register.all().round, 61_000);
        assert_eq!(register.all().nodes[0].probed, 60_000);
    }

    #[test]
    fn what_cannot_be_written_counts_for_nothing() {
        let sql = Fake { is_full: true, ..Fake::default() };
        let mut register = Register::default();
        let bad = json!({"counter": "tcp", "limit": 1});
        assert!(register.note(&found(&bad, 60), &sql).is_err());
        assert_eq!(register.all(), Told::default());
    }

    #[test]
    fn a_round_is_told_once_and_believed_for_a_while() {
        let sql = Fake::default();
        let mut register = Register::default();
        assert_eq!(register.told(0, at(60)), None, "there was none");
        let bad = json!({"counter": "tcp", "limit": 1});
        register.note(&found(&bad, 60), &sql).expect("it is in memory");
        let told = register.told(0, at(61)).expect("it is new");
        assert_eq!((told.round, told.nodes.len()), (60_000, 1));
        assert_eq!(register.told(60_000, at(360)), None, "it is known");
        // No round has come for a while.
        let told = register.told(60_000, at(361)).expect("that is new");
        assert_eq!((told.round, told.nodes.len()), (60_001, 0));
        assert_eq!(register.told(60_001, at(900)), None);
        // The next has a number of its own, even by a clock that stepped back.
        register.note(&nothing(30), &sql).expect("it is in memory");
        assert_eq!(register.told(60_001, at(31)).map(|told| told.round), Some(60_002));
    }

    #[test]
    fn a_node_that_nobody_probes_is_forgotten_after_two_days() {
        let sql = Fake::default();
        let mut register = Register::default();
        register.note(&found(&Value::Null, 60), &sql).expect("it is in memory");
        register.note(&nothing(2 * 86_400), &sql).expect("it is in memory");
        assert_eq!(phases(&register).len(), 1);
        register.note(&nothing(2 * 86_400 + 120), &sql).expect("it is in memory");
        assert_eq!(phases(&register).len(), 0);
        assert!(sql.asked.borrow().iter().any(|sql| sql.starts_with("DELETE FROM nodes")));
    }
}
