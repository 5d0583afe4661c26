//! The JSON of a signature partition: each rule broken by itself.

use super::Class;
use super::base::{GOOD, Part, disk};

const MAX_SIZE: usize = 4 << 20;

pub(crate) fn images() -> Class {
    let mut class = Class::new("C5");
    let hash = GOOD.hex();
    let other = "5a".repeat(32);
    let good = format!(r#"{{"rootHash":"{hash}","certificateFingerprint":"{other}","signature":"MAA="}}"#);
    let mut add = |what: &str, partition: Vec<u8>, answer| {
        let mut parts = GOOD.parts("root-x86-64", "os_1");
        let size = partition.len().next_multiple_of(4096) as u64;
        parts.push(Part::new("root-x86-64-verity-sig", "os_1_s", &partition).size(size.max(4096)));
        class.add(what, disk(&parts), "inspect", 1, answer);
    };

    // size and filling
    add("all zeros", vec![0; 16384], "signature-partition-empty");
    let mut large = good.clone().into_bytes();
    large.resize(MAX_SIZE + 4096, 0);
    add("4 MiB and a block", large, "signature-too-large");
    add("more than 4 MiB of spaces", vec![b' '; MAX_SIZE + 4096], "signature-too-large");
    let filled = |with: u8| {
        let mut bytes = good.clone().into_bytes();
        bytes.resize(4095, 0);
        bytes.push(with);
        bytes
    };
    add("a space at the end of the partition", filled(b' '), "signature-data-after-nul");
    add(
        "a second object behind the first NUL",
        [good.as_bytes(), b"\0", good.as_bytes()].concat(),
        "signature-data-after-nul",
    );
    add("a NUL before the object", [b"\0", good.as_bytes()].concat(), "signature-data-after-nul");
    add(
        "a NUL in the middle of the object",
        good.replacen(',', "\0,", 1).into_bytes(),
        "signature-data-after-nul",
    );
    add(
        "a byte that is no UTF-8",
        [&good.as_bytes()[..2], b"\xff", &good.as_bytes()[2..]].concat(),
        "signature-not-utf8",
    );
    add(
        "a surrogate in UTF-8",
        good.replacen("{", "{\"\u{1}\":0,", 1)
            .into_bytes()
            .iter()
            .flat_map(|b| if *b == 1 { vec![0xed, 0xa0, 0x80] } else { vec![*b] })
            .collect(),
        "signature-not-utf8",
    );
    add("UTF-16", good.bytes().flat_map(|byte| [byte, 0]).collect(), "signature-data-after-nul");

    let mut text = |what: &str, text: String, answer| add(what, text.into_bytes(), answer);
    // what is no JSON
    text("a byte-order mark before the object", format!("\u{feff}{good}"), "signature-json");
    text("the object is not closed", good.replace('}', ""), "signature-json");
    text("single quotes", good.replace('"', "'"), "signature-json");
    text("a comma too much", good.replace('}', ",}"), "signature-json");
    text("a comment", good.replace('}', "/* */}"), "signature-json");
    text("NaN", good.replacen('{', "{\"a\":NaN,", 1), "signature-json");
    text("a number with a zero before", good.replacen('{', "{\"a\":01,", 1), "signature-json");
    text("a control character in a string", good.replacen('{', "{\"\u{1b}\":1,", 1), "signature-json");
    text("half an escape", good.replacen('{', "{\"\\u12\":1,", 1), "signature-json");
    text("half a surrogate pair", good.replacen('{', "{\"\\ud800\":1,", 1), "signature-json");
    text("nothing but spaces", " ".repeat(4096), "signature-json");
    text("a key without quotes", good.replacen("\"rootHash\"", "rootHash", 1), "signature-json");
    text("a second object behind the first", format!("{good}{good}"), "signature-data-after-json");
    text("a comma behind the object", format!("{good},"), "signature-data-after-json");
    // what is no object
    text("an array with the object", format!("[{good}]"), "signature-not-an-object");
    text("a string", format!("\"{hash}\""), "signature-not-an-object");
    text("a number", "7".into(), "signature-not-an-object");
    text("null", "null".into(), "signature-not-an-object");
    // keys
    text("no keys", "{}".into(), "signature-missing-key");
    text("no root hash", good.replacen("rootHash", "roothash", 1), "signature-missing-key");
    text("no signature", good.replacen("\"signature\"", "\"Signature\"", 1), "signature-missing-key");
    text(
        "the root hash twice",
        good.replacen('{', &format!("{{\"rootHash\":\"{other}\","), 1),
        "signature-duplicate-key",
    );
    text(
        "the root hash twice, once with an escape in its key",
        good.replacen('{', &format!("{{\"root\\u0048ash\":\"{other}\","), 1),
        "signature-duplicate-key",
    );
    text("the signature twice", good.replacen('{', "{\"signature\":\"MAA=\",", 1), "signature-duplicate-key");
    text(
        "a key twice in an object that is ignored",
        good.replacen('{', "{\"a\":{\"b\":1,\"b\":2},", 1),
        "signature-duplicate-key",
    );
    let many: String = (0..2000).map(|i| format!("\"k{i}\":0,")).collect();
    text("2000 keys", good.replacen('{', &format!("{{{many}"), 1), "signature-too-many-keys");
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    text("nine levels", good.replacen('{', &format!("{{\"a\":{},", deep(8)), 1), "signature-too-deep");
    text(
        "a million levels of arrays",
        good.replacen('{', &format!("{{\"a\":{},", deep(1_000_000)), 1),
        "signature-too-large",
    );
    text("half a million levels of objects, not closed", "{\"a\":".repeat(500_000), "signature-too-large");
    // values
    let value = |text: &str| good.replacen(&format!("\"{hash}\""), text, 1);
    text("the root hash is a number", value("7"), "signature-wrong-type");
    text("the root hash is an array", value(&format!("[\"{hash}\"]")), "signature-wrong-type");
    text("the root hash is null", value("null"), "signature-wrong-type");
    text("the signature is true", good.replacen("\"MAA=\"", "true", 1), "signature-wrong-type");
    text("the fingerprint is a number", good.replacen(&format!("\"{other}\""), "1e400", 1), "signature-json");
    let digits = |text: &str| good.replacen(&hash, text, 1);
    text("the root hash in capitals", digits(&hash.to_uppercase()), "signature-root-hash-digit");
    text("a line feed behind the root hash", digits(&format!("{hash}\\n")), "signature-root-hash-digit");
    text("a NUL behind the root hash", digits(&format!("{hash}\\u0000")), "signature-root-hash-digit");
    text("Arabic digits", digits(&format!("\\u0660{}", &hash[1..])), "signature-root-hash-digit");
    text("0x before the root hash", digits(&format!("0x{hash}")), "signature-root-hash-digit");
    text("an empty root hash", digits(""), "signature-root-hash-length");
    text("a root hash of 63 digits", digits(&hash[1..]), "signature-root-hash-length");
    text("a root hash of 40 digits", digits(&hash[..40]), "signature-root-hash-length");
    text("a root hash of a million digits", digits(&"0".repeat(1_000_000)), "signature-too-large");
    text(
        "the fingerprint in capitals",
        good.replacen(&other, &other.to_uppercase(), 1),
        "signature-fingerprint-form",
    );
    text("an empty fingerprint", good.replacen(&other, "", 1), "signature-fingerprint-form");
    let base64 = |text: &str| good.replacen("MAA=", text, 1);
    text("base64 without padding", base64("MAA"), "signature-base64");
    text("base64 with bits left over", base64("MAB="), "signature-base64");
    text("base64 with a space", base64("MA A="), "signature-base64");
    text("base64 with a line feed", base64("MAA=\\n"), "signature-base64");
    text("base64 for URLs", base64("M-_="), "signature-base64");
    text("two base64 texts", base64("MAA=MAA="), "signature-base64");
    text("an empty signature", base64(""), "signature-empty");
    class
}
