//! What is around a plugin that is tested: its storage, its options, who calls, and its log.

use std::cell::RefCell;
use std::time::Duration;

use super::memory::{Memory, check_write};
use crate::stored::{Page, StorageError, Wrap, check_key, check_prefix};
use crate::view::{Access, Facts, TransactionView, View};
use crate::{Caller, Context, Level, Ttls};

/// What is around the plugin and outlives its instances.
pub(super) struct World {
    pub(super) memory: Memory,
    /// Where the mount is, ending in `/`.
    pub(super) path: String,
    pub(super) options: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) ttls: Ttls,
    pub(super) logs: RefCell<Vec<LogLine>>,
    pub(super) caller: Caller,
}

impl Default for World {
    fn default() -> Self {
        const DAYS_32: Duration = Duration::from_secs(32 * 24 * 60 * 60);
        Self {
            memory: Memory::default(),
            path: "test/".into(),
            options: Vec::new(),
            headers: Vec::new(),
            ttls: Ttls { default: DAYS_32, max: DAYS_32 },
            logs: RefCell::default(),
            caller: Caller { display_name: "token".into(), policies: vec!["root".into()], ..Caller::default() },
        }
    }
}

impl World {
    pub(super) fn call<T>(&self, access: Access, caller: Caller, run: impl FnOnce(&Context) -> T) -> T {
        run(&Context::new(&MemoryView { world: self, caller, access }))
    }

    /// Makes a call that no request caused.
    pub(super) fn quietly(&self, run: impl FnOnce(&Context)) {
        self.call(Access::ReadWrite, Caller::default(), run);
    }
}

/// One line that the plugin logged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogLine {
    /// How loud it is.
    pub level: Level,
    /// What it says.
    pub message: String,
    /// What can be searched for.
    pub fields: Vec<(String, String)>,
}

/// One call's view of a test mount.
pub(super) struct MemoryView<'a> {
    pub(super) world: &'a World,
    pub(super) caller: Caller,
    pub(super) access: Access,
}

impl Facts for MemoryView<'_> {
    fn mount_id(&self) -> String {
        "00000000-0000-0000-0000-000000000001".into()
    }

    fn mount_path(&self) -> String {
        self.world.path.clone()
    }

    fn options(&self) -> Vec<(String, String)> {
        self.world.options.clone()
    }

    fn ttls(&self) -> Ttls {
        self.world.ttls
    }

    fn caller(&self) -> Caller {
        self.caller.clone()
    }

    fn header(&self, name: &str) -> Vec<String> {
        let headers = self.world.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        headers.map(|(_, value)| value.clone()).collect()
    }

    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        self.world.logs.borrow_mut().push(LogLine { level, message: message.into(), fields });
    }
}

impl View for MemoryView<'_> {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        check_key(key)?;
        Ok(self.world.memory.value(key))
    }

    fn put(&self, key: &str, value: &[u8], _: Wrap) -> Result<(), StorageError> {
        check_write(self.access, key, value)?;
        self.world.memory.set(key, Some(value));
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<(), StorageError> {
        check_write(self.access, key, &[])?;
        self.world.memory.set(key, None);
        Ok(())
    }

    fn list(&self, page: Page) -> Result<Vec<String>, StorageError> {
        check_prefix(page.prefix)?;
        Ok(self.world.memory.list(page))
    }

    fn begin(&self, access: Access) -> Result<Box<dyn TransactionView + '_>, StorageError> {
        // As with the host, a transaction can be begun where nothing may be written; its writes are refused.
        let access = if self.access == Access::ReadOnly { Access::ReadOnly } else { access };
        Ok(self.world.memory.begin(access))
    }
}
