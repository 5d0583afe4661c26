//! What is left of a key in the memory of a process that signed with it.

use std::collections::HashSet;
use std::env;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use super::*;

const PASSPHRASE: &str = "correct horse battery staple, 5f1c9a";
/// What the child is to do.
const CHILD: &str = "DDI_TEST_SIGN_CHILD";
/// So many bytes of a secret in a row are what is looked for.
const WINDOW: usize = 16;

/// Another process signs, drops its key, and stays; here its memory is searched: for each part of each private number in both
/// orders of bytes, for the text of the key file, for the passphrase. A child that keeps its key shows that they are found.
#[test]
fn no_key_is_left_in_memory() {
    if let Ok(what) = env::var(CHILD) {
        return child(&what);
    }
    for (name, file) in [
        ("rsa2048", "rsa2048.pem"),
        ("rsa2048", "rsa2048.der"),
        ("rsa2048", "rsa2048-traditional.pem"),
        ("rsa2048", "rsa2048-long.pem"),
        ("p256", "p256.pem"),
        ("p256", "p256-long.pem"),
        ("p384", "p384.der"),
    ] {
        let secrets = secrets(name, file);
        assert!(found_in_child("keep", name, file, &secrets) > 0, "{file}: the search finds nothing");
        assert_eq!(found_in_child("drop", name, file, &secrets), 0, "{file}: parts that are left");
    }
}

fn child(what: &str) {
    let [keep, name, file, passphrase] = what.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/sign");
    let key = {
        let passphrase = Passphrase::open(passphrase).unwrap();
        SigningKey::open(folder.join(file), Some(passphrase.as_bytes())).unwrap()
    };
    let options = SignOptions::new().bind(params());
    SignedRootHash::by_key(&key, &certificate(name), &root_hash(), &options).unwrap();
    let kept = (keep == "keep").then_some(key);
    println!("\nsigned");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read(&mut [0]);
    drop(kept);
}

/// How many windows of the secrets are in the memory of a child that did this.
fn found_in_child(keep: &str, name: &str, file: &str, secrets: &HashSet<Vec<u8>>) -> usize {
    let passphrase = env::temp_dir().join(format!("ddi-sign-memory-{}", std::process::id()));
    fs::write(&passphrase, PASSPHRASE).unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "sign::tests::memory::no_key_is_left_in_memory", "--nocapture"])
        .env(CHILD, format!("{keep} {name} {file} {}", passphrase.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let signed = lines.any(|line| line.unwrap() == "signed");
    assert!(signed, "{file}: the child did not sign");
    let maps = fs::read_to_string(format!("/proc/{}/maps", child.id())).unwrap();
    let memory = File::open(format!("/proc/{}/mem", child.id())).unwrap();
    let mut found = HashSet::new();
    let mut searched = 0;
    // most bytes begin none, which is seen without hashing
    let starts: HashSet<[u8; 2]> = secrets.iter().map(|secret| [secret[0], secret[1]]).collect();
    let is_start: Vec<bool> = (0..=u16::MAX).map(|start| starts.contains(&start.to_ne_bytes())).collect();
    let begins = |window: &&[u8]| is_start[usize::from(u16::from_ne_bytes([window[0], window[1]]))];
    // what can be written: heap, stacks, data
    for map in maps.lines().filter(|map| map.split(' ').nth(1).unwrap().starts_with("rw")) {
        let (start, end) = map.split(' ').next().unwrap().split_once('-').unwrap();
        let [start, end] = [start, end].map(|number| u64::from_str_radix(number, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        // some cannot be read by anybody
        if memory.read_exact_at(&mut bytes, start).is_ok() {
            searched += bytes.len();
            let windows = bytes.windows(WINDOW).filter(begins);
            found.extend(windows.filter(|window| secrets.contains(*window)).map(<[u8]>::to_vec));
        }
    }
    drop(child.stdin.take());
    child.wait().unwrap();
    fs::remove_file(&passphrase).unwrap();
    assert!(searched > 1 << 16);
    found.len()
}

/// All windows of what must not be found.
fn secrets(name: &str, file: &str) -> HashSet<Vec<u8>> {
    let mut windows = HashSet::new();
    let mut add = |secret: &[u8]| {
        let reversed: Vec<u8> = secret.iter().rev().copied().collect();
        for bytes in [secret, &reversed] {
            windows.extend(bytes.windows(WINDOW).map(<[u8]>::to_vec));
        }
    };
    // the last numbers of the file, which are private, or the one in an octet string
    let der = golden(&format!("{name}.der"));
    match name.starts_with("rsa") {
        true => {
            let private = der.windows(5).position(|window| window == [2, 3, 1, 0, 1]).unwrap() + 5;
            add(&der[private..]);
        }
        false => {
            let size = if name == "p256" { 32 } else { 48 };
            let at = der.windows(5).position(|window| window == [2, 1, 1, 4, size]).unwrap();
            let private = &der[at + 5..][..usize::from(size)];
            add(private);
            add(&montgomery(name, private));
        }
    }
    if file.ends_with(".pem") {
        let text = String::from_utf8(golden(file)).unwrap();
        let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        // what comes before the private part says nothing
        add(&base64.as_bytes()[base64.len() / 2..]);
    }
    add(PASSPHRASE.as_bytes());
    windows
}

/// A scalar times 2^256 or 2^384, which is how it may be kept.
fn montgomery(name: &str, private: &[u8]) -> Vec<u8> {
    macro_rules! shifted {
        ($curve:ident) => {{
            let key = $curve::SecretKey::from_slice(private).unwrap();
            let mut scalar = *key.to_nonzero_scalar();
            for _ in 0..8 * private.len() {
                scalar = scalar + scalar;
            }
            scalar.to_bytes().to_vec()
        }};
    }
    if name == "p256" { shifted!(p256) } else { shifted!(p384) }
}
