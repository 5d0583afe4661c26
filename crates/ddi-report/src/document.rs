//! The documents, and what of them counts.

use serde_json::Value;

/// The documents about one image.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Documents<'a> {
    pub(crate) inspect: Option<&'a Value>,
    pub(crate) verify: Option<&'a Value>,
    pub(crate) check: Option<&'a Value>,
}

impl<'a> Documents<'a> {
    pub(crate) fn add(&mut self, document: &'a Value) {
        match text(document, "schema") {
            "ddi.inspect/1" => self.inspect = Some(document),
            "ddi.verify/1" => self.verify = Some(document),
            "ddi.check/1" => self.check = Some(document),
            _ => {}
        }
    }

    /// Those that are there, the one that was asked for first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'a Value> {
        [self.check, self.verify, self.inspect].into_iter().flatten()
    }

    /// The findings of the document that was asked for, the worst first.
    pub(crate) fn findings(&self) -> Vec<&'a Value> {
        let mut findings: Vec<_> = self
            .check
            .into_iter()
            .chain(self.inspect)
            .flat_map(|document| list(document, "findings"))
            .collect();
        findings.sort_by_key(|finding| match text(finding, "severity") {
            "error" => 0,
            "warning" => 1,
            _ => 2,
        });
        findings
    }

    /// The partition with that number.
    pub(crate) fn partition(&self, number: u64) -> Option<&'a Value> {
        list(self.inspect?, "partitions").iter().find(|partition| uint(partition, "number") == Some(number))
    }
}

/// The text of a key; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The text of a key, if there is one that is not empty.
pub(crate) fn some_text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The number of a key.
pub(crate) fn uint(value: &Value, key: &str) -> Option<u64> {
    value.get(key).and_then(Value::as_u64)
}

/// Returns true if the key is true.
pub(crate) fn is(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or_default()
}

/// The list of a key; empty if there is none.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The member of a key, if it is not null.
pub(crate) fn member<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    value.get(key).filter(|value| !value.is_null())
}

/// The runs of blocks of `value[key]`, both ends included.
pub(crate) fn runs(value: &Value, key: &str) -> Vec<(u64, u64)> {
    let Some(blocks) = value.get(key) else { return Vec::new() };
    let run = |run: &Value| Some((run.get(0)?.as_u64()?, run.get(1)?.as_u64()?));
    list(blocks, "ranges").iter().filter_map(run).collect()
}

/// A field of os-release.
pub(crate) fn os_field<'a>(inspect: &'a Value, key: &str) -> Option<&'a str> {
    ["osRelease", "initrdRelease", "sysextRelease", "confextRelease"].into_iter().find_map(|from| {
        list(inspect, from)
            .iter()
            .filter_map(Value::as_str)
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('=').filter(|value| !value.is_empty()))
    })
}

/// What this image can be used as, for people.
pub(crate) const USES: [(&str, &str); 10] = [
    ("useBootableUefi", "bootable system for UEFI"),
    ("useBootableContainer", "bootable system for container"),
    ("usePortableService", "portable service"),
    ("useInitrd", "initrd"),
    ("useSystemExtension", "sysext for system"),
    ("usePortableSystemExtension", "sysext for portable service"),
    ("useInitRDSystemExtension", "sysext for initrd"),
    ("useConfigurationExtension", "confext for system"),
    ("usePortableConfigurationExtension", "confext for portable service"),
    ("useInitRDConfigurationExtension", "confext for initrd"),
];
