//! [`OutboxBuilder`]: every option of an outbox, checked at once.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Weak};

use larder_core::limits::NODE_BYTES_MAX;
use larder_core::sync::Mutex;
use larder_core::{Entropy, Origin, SystemEntropy};
use sqlx::Pool;

use super::{Local, Outbox, Shared};
use crate::Error;
use crate::database::Database;
use crate::error::{ConfigError, ConfigFault};
use crate::hints::Hints;
use crate::names::Names;

/// Says what an outbox is to be.
#[must_use = "a builder does nothing until it migrates or opens"]
pub struct OutboxBuilder<D: Database> {
    pool: Pool<D>,
    prefix: Option<String>,
    node: Option<String>,
    node_key: Option<[u8; 16]>,
    entropy: Arc<dyn Entropy>,
}

impl<D: Database> OutboxBuilder<D> {
    /// What the names of all tables begin with. Default: `larder_`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// The name of this node, 1 to 128 bytes without control characters: rows say which node has recorded them. Default: a
    /// random one.
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.node = Some(name.into());
        self
    }

    /// What makes this process the node of its name, wherever another one claims to be: kept with the node's data. Default: none.
    pub fn node_key(mut self, key: [u8; 16]) -> Self {
        self.node_key = Some(key);
        self
    }

    /// Where ids are drawn from. Default: the operating system.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// The statements of [`OutboxBuilder::migrate`], for tools that run them themselves. Run them in one transaction; the
    /// numbers of a new log are then still missing, which `migrate` adds.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn migration(&self) -> Result<Vec<String>, Error> {
        let (names, _) = self.check()?;
        Ok(D::migration(&names))
    }

    /// Makes the tables, or brings them up; does nothing if they are as they should be. Several nodes may do it at once.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::SchemaTooNew`], [`Error::Busy`], [`Error::ReadOnly`], [`Error::Database`]; then the tables are
    /// as they were.
    pub async fn migrate(&self) -> Result<(), Error> {
        let (names, _) = self.check()?;
        D::migrate(&self.pool, &names, &*self.entropy).await
    }

    /// Opens the outbox. Makes no tables.
    ///
    /// # Errors
    /// [`Error::Config`], with all faults; [`Error::SchemaMissing`], [`Error::SchemaTooOld`], [`Error::SchemaTooNew`],
    /// [`Error::Database`].
    pub async fn open(&self) -> Result<Outbox<D>, Error> {
        let (names, origin) = self.check()?;
        let identity = D::open(&self.pool, &names).await?;
        let hints = Arc::new(Hints::default());
        let reader = D::source(
            self.pool.clone(),
            names.clone(),
            identity,
            Arc::clone(&hints),
            Arc::clone(&self.entropy),
        );
        let shared = Shared {
            pool: self.pool.clone(),
            names,
            source: identity.source,
            epoch: AtomicU64::new(identity.epoch.get()),
            is_registered: AtomicBool::new(false),
            local: Arc::new(Local {
                origin,
                node_key: self.node_key,
                seat: Mutex::new(Weak::new()),
            }),
            entropy: Arc::clone(&self.entropy),
            hints,
            completions: Hints::default(),
            reader,
        };
        Ok(Outbox {
            shared: Arc::new(shared),
        })
    }

    fn check(&self) -> Result<(Names, Origin), Error> {
        let names = self
            .prefix
            .as_deref()
            .map_or_else(|| Ok(Names::default()), Names::new);
        let random = || format!("{:016x}", self.entropy.next_u64());
        let node = self.node.clone().unwrap_or_else(random);
        let origin = Origin::new(&node, self.entropy.next_u64()).map_err(|_| ConfigFault {
            option: "node",
            given: format!("{node:?}"),
            allowed: format!("1 to {NODE_BYTES_MAX} bytes without control characters"),
        });
        match (names, origin) {
            (Ok(names), Ok(origin)) => Ok((names, origin)),
            (names, origin) => {
                let faults = names.err().into_iter().chain(origin.err());
                Err(ConfigError::of(faults.collect()))
            }
        }
    }
}

impl<D: Database> Outbox<D> {
    /// An outbox in the database of `pool`.
    pub fn builder(pool: Pool<D>) -> OutboxBuilder<D> {
        OutboxBuilder {
            pool,
            prefix: None,
            node: None,
            node_key: None,
            entropy: Arc::new(SystemEntropy::default()),
        }
    }
}

impl<D: Database> Clone for OutboxBuilder<D> {
    fn clone(&self) -> Self {
        OutboxBuilder {
            pool: self.pool.clone(),
            prefix: self.prefix.clone(),
            node: self.node.clone(),
            node_key: self.node_key,
            entropy: Arc::clone(&self.entropy),
        }
    }
}

impl<D: Database> fmt::Debug for OutboxBuilder<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxBuilder")
            .field("prefix", &self.prefix)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
