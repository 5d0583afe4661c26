//! Several images, one after the other: what people read has a last line, and JSON is one array.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};

use super::term::Style;
use super::{ANSWERED, Ordering, count, escape_json, failed, print, print_asked, progress, term};
use crate::ExitStatus;
use crate::failure::Asked;

/// The document on the image that is looked at, where it becomes part of an array.
static DOCUMENT: Mutex<Option<Option<Value>>> = Mutex::new(None);

/// Takes a document, if it is to be part of an array.
pub(super) fn take(value: &Value) -> bool {
    let Ok(mut document) = DOCUMENT.lock() else { return false };
    match &mut *document {
        Some(document) => {
            *document = Some(value.clone());
            true
        }
        None => false,
    }
}

/// The answers for several images.
#[derive(Debug)]
pub(crate) struct Several {
    is_json: bool,
    total: usize,
    path: PathBuf,
    /// How many ended so, by exit status.
    ended: [u64; 4],
}

impl Several {
    pub(crate) fn new(is_json: bool, total: usize) -> anyhow::Result<Self> {
        if is_json {
            print_asked("[")?;
        }
        Ok(Several { is_json, total, path: PathBuf::new(), ended: [0; 4] })
    }

    fn done(&self) -> u64 {
        self.ended.iter().sum()
    }

    /// What comes now is about this image.
    pub(crate) fn next(&mut self, path: &Path) -> anyhow::Result<()> {
        self.path = path.to_owned();
        progress::subject(Some(format!("{}/{} {}", self.done() + 1, self.total, path.display())));
        if self.is_json {
            ANSWERED.store(false, Ordering::Relaxed);
            if let Ok(mut document) = DOCUMENT.lock() {
                *document = Some(None);
            }
        } else if self.done() > 0 {
            print("\n")?;
        }
        Ok(())
    }

    /// There is no answer on it.
    pub(crate) fn failed(&self, error: &anyhow::Error) -> ExitStatus {
        let asked = Asked { image: Some(self.path.display().to_string()) };
        failed(error, self.is_json.then_some(&asked));
        ExitStatus::Unknown
    }

    /// All is told about it.
    pub(crate) fn ended(&mut self, status: ExitStatus) -> anyhow::Result<()> {
        let before = if self.done() > 0 { ",\n" } else { "\n" };
        self.ended[status as usize] += 1;
        if !self.is_json {
            return Ok(());
        }
        let document = DOCUMENT.lock().ok().and_then(|mut document| document.take().flatten());
        let value = json!({
            "schema": "ddi.image/1",
            "image": self.path.display().to_string(),
            "exitStatus": status as u8,
            "document": document,
        });
        print_asked(&format!("{before}{}", escape_json(&format!("{value:#}"))))
    }

    /// There are no more.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        progress::subject(None);
        if self.is_json {
            ANSWERED.store(true, Ordering::Relaxed);
            return print_asked("\n]\n");
        }
        let [good, bad, unknown, unvouched] = self.ended;
        let parts = [
            (good, Style::Good, "good"),
            (unvouched, Style::Doubtful, "intact only"),
            (unknown, Style::Doubtful, "could not tell"),
            (bad, Style::Bad, "bad"),
        ];
        let parts: Vec<_> = (parts.into_iter().filter(|(number, ..)| *number > 0))
            .map(|(number, style, words)| format!("{number} {}", term().paint(style, words)))
            .collect();
        print(&format!("\n{}: {}\n", count(self.done(), "image"), parts.join(", ")))
    }
}
