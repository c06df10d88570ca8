//! What the tables of an outbox are called.

use crate::error::ConfigFault;
use crate::limits::PREFIX_BYTES_MAX;

/// The prefix of every name: letters, digits and `_`, not beginning with a digit, so that it needs no quotes and nothing can
/// end it.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: String,
}

impl Names {
    pub(crate) fn new(prefix: &str) -> Result<Self, ConfigFault> {
        let is_word = prefix
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let begins_well = prefix
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        // SQLite keeps such names for itself.
        let is_free = !prefix.to_ascii_lowercase().starts_with("sqlite_");
        if is_word && begins_well && is_free && prefix.len() <= PREFIX_BYTES_MAX {
            return Ok(Self {
                prefix: prefix.to_owned(),
            });
        }
        Err(ConfigFault {
            option: "prefix",
            given: format!("{prefix:?}"),
            allowed: format!(
                "letters, digits and `_`, 1 to {PREFIX_BYTES_MAX} of them, no digit first, and not `sqlite_`"
            ),
        })
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl Default for Names {
    fn default() -> Self {
        Self {
            prefix: "larder_".to_owned(),
        }
    }
}
