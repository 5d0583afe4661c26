//! The only way to write HTML here.

use std::fmt::{self, Display};

use crate::text::{Piece, beginning, name_pieces, pieces};

/// Longest text that is shown of what an image may have made as long as it likes, in characters.
const MAX_TEXT: usize = 2000;

/// HTML that is being written.
///
/// Markup is `&'static str`: names of elements, classes and attributes are written in the source, and no text that was read can
/// become one. All else is text, and is escaped: [`text`](Self::text), [`name`](Self::name), and values of attributes, which
/// are always quoted. What could not be seen or would deceive (controls, directions, zero width) is shown as `\u{…}`.
///
/// ```
/// use ddi_report::Html;
///
/// let mut html = Html::default();
/// html.within("p", &[("title", &"\"><script>")], |html| html.text("a < b \u{202e}"));
/// assert_eq!(
///     html.to_string(),
///     "<p title=\"&quot;&gt;&lt;script&gt;\">a &lt; b <span class=\"x\">\\u{202e}</span></p>"
/// );
/// ```
#[derive(Debug, Clone, Default)]
pub struct Html(String);

/// An attribute: its name, and a value of any origin.
type Attribute<'a> = (&'static str, &'a dyn Display);

impl Html {
    /// Markup that is written in the source.
    pub(crate) fn markup(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    /// The start of an element.
    pub(crate) fn open(&mut self, element: &'static str, attributes: &[Attribute<'_>]) {
        self.0.push('<');
        self.0.push_str(element);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.value(&value.to_string());
            self.0.push('"');
        }
        self.0.push('>');
    }

    /// The end of an element.
    pub(crate) fn close(&mut self, element: &'static str) {
        self.0.push_str("</");
        self.0.push_str(element);
        self.0.push('>');
    }

    /// An element with its content.
    pub fn within(
        &mut self,
        element: &'static str,
        attributes: &[(&'static str, &dyn Display)],
        content: impl FnOnce(&mut Self),
    ) {
        self.open(element, attributes);
        content(self);
        self.close(element);
    }

    /// An element of that class with text in it.
    pub(crate) fn leaf(&mut self, element: &'static str, class: &'static str, text: impl Display) {
        match class {
            "" => self.open(element, &[]),
            class => self.open(element, &[("class", &class)]),
        }
        self.text(text);
        self.close(element);
    }

    /// Text of any origin.
    pub fn text(&mut self, text: impl Display) {
        let text = text.to_string();
        let (shown, cut) = beginning(&text, MAX_TEXT);
        pieces(shown, &mut |piece| self.piece(&piece));
        self.cut(cut);
    }

    /// Text of an image among words of ours: whatever direction it is written in, it does not spread.
    pub(crate) fn quoted(&mut self, text: impl Display) {
        self.within("bdi", &[], |html| html.text(text));
    }

    /// A name from an image: bytes, which need not be text. Different names never look alike.
    pub fn name(&mut self, name: &[u8]) {
        self.open("bdi", &[]);
        name_pieces(name, &mut |piece| self.piece(&piece));
        self.close("bdi");
    }

    /// Text as it is, of any length, for `pre`: it is not cut, and what it means does not change.
    pub(crate) fn preformatted(&mut self, text: &str) {
        self.plain(text);
    }

    /// The HTML so far.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All that `other` has.
    pub(crate) fn append(&mut self, other: &Html) {
        self.0.push_str(&other.0);
    }

    fn cut(&mut self, cut: usize) {
        if cut > 0 {
            self.within("span", &[("class", &"x")], |html| {
                html.plain(&format!("… and {cut} more characters"))
            });
        }
    }

    fn piece(&mut self, piece: &Piece<'_>) {
        match piece {
            Piece::Plain(text) => self.plain(text),
            Piece::Escape(text) => self.within("span", &[("class", &"x")], |html| html.plain(text)),
        }
    }

    /// In attributes there is no place for a mark.
    fn value(&mut self, text: &str) {
        pieces(text, &mut |piece| match piece {
            Piece::Plain(text) => self.plain(text),
            Piece::Escape(text) => self.plain(&text),
        });
    }

    fn plain(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
    }
}

impl Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Html;

    proptest::proptest! {
        /// Whatever the text, no tag begins in it, no attribute ends in it, and nothing in it is invisible.
        #[test]
        fn no_text_becomes_markup(text in proptest::prelude::any::<String>(), name in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..20)) {
            let mut html = Html::default();
            html.within("i", &[("title", &text)], |html| { html.text(&text); html.name(&name); });
            let html = html.to_string();
            let inner = html.strip_prefix("<i title=\"").unwrap().strip_suffix("</i>").unwrap();
            let (value, rest) = inner.split_once("\">").unwrap();
            proptest::prop_assert!(!value.contains(['<', '>', '"', '\'']));
            let rest = rest
                .replace("<span class=\"x\">", "").replace("</span>", "")
                .replace("<bdi>", "").replace("</bdi>", "");
            proptest::prop_assert!(!rest.contains(['<', '>', '"', '\'']), "{}", rest);
            proptest::prop_assert!(!html.chars().any(char::is_control));
        }
    }

    #[test]
    fn long_text_is_cut() {
        let mut html = Html::default();
        html.text("x".repeat(3000));
        assert_eq!(
            html.to_string(),
            format!("{}<span class=\"x\">… and 1000 more characters</span>", "x".repeat(2000))
        );
    }
}
