//! `ddi serve`, and the clients that people have.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::image::{Image, ImageBuilder, erofs, hash_tree};
use crate::support::schema::SCHEMAS;
use crate::support::{Chance, DDI, Ended, Folder, ddi, in_parallel, require_tool, run, run_within};

/// A root file system with zeros in its second half, and other things beside it.
fn image() -> (Image, Vec<u8>) {
    let mut data = erofs(700, 1);
    data[350 * 4096..600 * 4096].fill(0);
    let secret = b"not proven".repeat(1000);
    let image = ImageBuilder::new()
        .partition("esp", "esp", secret.clone())
        .verity("root-x86-64", "os_1", data.clone())
        .partition("home", "home", secret)
        .build();
    (image, data)
}

struct Server {
    child: Child,
    uri: String,
    stderr: Option<thread::JoinHandle<String>>,
}

impl Server {
    /// Started, and ready.
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(DDI)
            .arg("serve")
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let uri = line.trim_end().rsplit_once(" at ").unwrap_or_else(|| panic!("{line}")).1.to_owned();
        let stderr = thread::spawn(move || {
            let mut rest = String::new();
            stderr.read_to_string(&mut rest).unwrap();
            rest
        });
        Server { child, uri, stderr: Some(stderr) }
    }

    fn signal(&self, name: &str) {
        assert!(run("kill", [name, &self.child.id().to_string()]).ok());
    }

    /// Exit status, stdout, stderr.
    fn wait(mut self) -> (i32, String, String) {
        let until = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until {
                self.child.kill().unwrap();
                panic!("it does not end");
            }
            thread::sleep(Duration::from_millis(20));
        };
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        (status.code().unwrap_or(-1), stdout, self.stderr.take().unwrap().join().unwrap())
    }
}

/// `ddi serve … -- sh -c SCRIPT`.
fn serve(args: &[&str], script: &str) -> Ended {
    let mut command = Command::new(DDI);
    command.arg("serve").args(args).args(["--", "sh", "-ec", script]);
    run_within(command, Duration::from_secs(120))
}

#[test]
fn clients_get_the_same_bytes() {
    if !["nbdinfo", "nbdcopy", "qemu-img"].map(require_tool).iter().all(|there| *there) {
        return;
    }
    let folder = Folder::new();
    let (image, data) = image();
    let path = folder.write("image.raw", &image.bytes);
    let root_hash = image.root_hashes[0].to_string();
    let given = [path.as_str(), "--root-hash", &root_hash];
    let out = folder.path().display().to_string();

    let ended = serve(
        &given,
        &format!(
            "nbdinfo --size \"nbd+unix:///root?socket=$DDI_NBD_SOCKET\"
            nbdcopy \"$DDI_NBD_URI\" {out}/nbdcopy
            nbdcopy --connections=4 --requests=64 \"nbd+unix:///root?socket=$DDI_NBD_SOCKET\" {out}/many
            nbdcopy \"nbd+unix:///disk?socket=$DDI_NBD_SOCKET\" {out}/disk
            qemu-img convert -O raw \"nbd+unix:///root?socket=$DDI_NBD_SOCKET\" {out}/qemu
            qemu-img compare -f raw -F raw {out}/many \"nbd+unix:///root?socket=$DDI_NBD_SOCKET\"
            qemu-img map --output=json \"nbd+unix:///root?socket=$DDI_NBD_SOCKET\" > {out}/map
            ! qemu-img info \"nbd+unix:///usr?socket=$DDI_NBD_SOCKET\" 2>{out}/wrong"
        ),
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with(&format!("{}\n", data.len())), "{ended:?}");
    assert!(ended.stdout.contains("Images are identical."), "{ended:?}");
    for name in ["nbdcopy", "many", "qemu"] {
        assert!(fs::read(folder.file(name)).unwrap() == data, "{name}");
    }
    let map: serde_json::Value = serde_json::from_slice(&fs::read(folder.file("map")).unwrap()).unwrap();
    let zeros: u64 = map
        .as_array()
        .unwrap()
        .iter()
        .filter(|part| part["zero"] == true)
        .map(|part| part["length"].as_u64().unwrap())
        .sum();
    assert!(zeros >= 250 * 4096, "{map}");
    assert!(fs::read_to_string(folder.file("wrong")).unwrap().contains("not available"));

    // the disk: whole, clean, proven again, and without what was not
    let disk = folder.file("disk");
    assert!(!fs::read(&disk).unwrap().windows(20).any(|window| window == b"not provennot proven"));
    assert_eq!(ddi(["verify", &disk, "--root-hash", &root_hash]).code, Some(0));
    if require_tool("sgdisk") && require_tool("sfdisk") {
        assert!(run("sgdisk", ["-v", &disk]).stdout.contains("No problems found"));
        let verified = run("sfdisk", ["--verify", &disk]);
        assert!(verified.stdout.contains("No errors detected"), "{verified:?}");
    }
}

#[test]
fn a_corrupt_block_is_an_error_of_whoever_reads_it() {
    if !require_tool("nbdcopy") || !require_tool("nbdinfo") {
        return;
    }
    let folder = Folder::new();
    let (image, _) = image();
    let root_hash = image.root_hashes[0].to_string();
    let damaged = image.damage(image.partitions[1].offset + 300 * 4096 + 9);
    let path = folder.write("image.raw", &damaged.bytes);
    let given = [path.as_str(), "--root-hash", &root_hash, "--export", "root"];
    let copy = "nbdcopy \"$DDI_NBD_URI\" null: 2>/dev/null && exit 9; nbdinfo \"$DDI_NBD_URI\" >/dev/null";
    let ended = serve(&given, copy);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("root: data block 300 does not match its digest"), "{ended:?}");
    // each once, however often it is asked for
    let ended = serve(
        &given,
        &copy.replace("nbdinfo", &format!("{} || true; nbdinfo", copy.split(" &&").next().unwrap())),
    );
    assert_eq!(ended.stderr.matches("data block 300").count(), 1, "{ended:?}");

    // also of the disk, and --on-corrupt=stop
    let mut args = given[..3].to_vec();
    args.extend(["--export", "disk", "--on-corrupt", "stop", "--json"]);
    let ended = serve(&args, "nbdcopy \"$DDI_NBD_URI\" null: 2>/dev/null || sleep 0");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("data block 300"), "{ended:?}");
    SCHEMAS.check_stdout(&ended, "serve --json");
    assert!(ended.json()["corruptReads"].as_u64().unwrap() >= 1);

    // the hash tree
    let damaged = image.damage(image.partitions[2].offset + 3 * 4096 + 9);
    let path = folder.write("tree.raw", &damaged.bytes);
    let ended = serve(&[&path, "--root-hash", &root_hash, "--export", "root"], copy);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("hash block"), "{ended:?}");
}

#[test]
fn only_what_somebody_vouches_for() {
    let folder = Folder::new();
    let (image, _) = image();
    let path = folder.write("image.raw", &image.bytes);
    let wrong = "11".repeat(32);
    for (args, code) in [
        (vec![], 3),
        (vec!["--export", "root"], 3),
        (vec!["--export", "disk"], 3),
        (vec!["--usr-hash", &*wrong], 3),
        (vec!["--export", "usr", "--intact"], 1),
    ] {
        let ended = serve(&[&[path.as_str()], &args[..]].concat(), "exit 0");
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
        assert!(ended.first_line().is_empty(), "{ended:?}");
    }
    // a wrong root hash is no reason to serve what is intact
    let ended = serve(&[&path, "--root-hash", &wrong, "--intact", "--export", "root"], "exit 0");
    assert_ne!(ended.code, Some(0), "{ended:?}");
    if require_tool("nbdinfo") {
        let ended = serve(&[&path, "--intact"], "nbdinfo \"$DDI_NBD_URI\"");
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.contains("intact; nobody vouches for the root hash"), "{ended:?}");
    }
    // the command's own status, and that there is none
    let root_hash = image.root_hashes[0].to_string();
    let given = [path.as_str(), "--root-hash", &root_hash];
    assert_eq!(serve(&given, "exit 7").code, Some(2));
    assert_eq!(ddi([&["serve"], &given[..], &["--", "/no/such/program"]].concat()).code, Some(2));
    assert_eq!(ddi([&["serve"], &given[..]].concat()).code, Some(2));
    let ended = ddi([&["serve"], &given[..], &["--listen", "192.0.2.1:0"]].concat());
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("can be reached from other machines"), "{ended:?}");
}

#[test]
fn sockets_signals_and_ends() {
    let folder = Folder::new();
    let (image, _) = image();
    let path = folder.write("image.raw", &image.bytes);
    let root_hash = image.root_hashes[0].to_string();
    let socket = folder.file("socket");
    let server = Server::start(&[&path, "--root-hash", &root_hash, "--socket", &socket, "--json"]);
    assert_eq!(server.uri, format!("nbd+unix:///?socket={socket}"));
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let mut quiet = UnixStream::connect(&socket).unwrap();
    server.signal("-USR1");
    // not over another server's
    let second = ddi(["serve", &path, "--root-hash", &root_hash, "--socket", &socket]);
    assert_eq!(second.code, Some(2));
    assert!(second.stderr.contains("another server answers there"), "{second:?}");
    server.signal("-TERM");
    let (code, stdout, stderr) = server.wait();
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("served 0 requests"), "{stderr}");
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(SCHEMAS.check(&document, "serve"), "serve");
    assert!(document["connections"].as_u64().unwrap() >= 1);
    // whoever was there was hung up, and the name is gone
    let _ = quiet.read_to_end(&mut Vec::new());
    assert_eq!(folder.names(), ["image.raw"]);

    // TCP, and the end when the last one leaves
    let args = [&path, "--root-hash", &root_hash, "--listen", "127.0.0.1:0", "--one-client"];
    let server = Server::start(&args);
    let address = server.uri.strip_prefix("nbd://").unwrap().trim_end_matches('/').to_owned();
    drop(TcpStream::connect(&address).unwrap());
    if require_tool("nbdcopy") {
        assert!(run("nbdcopy", [&server.uri, "null:"]).ok());
    } else {
        server.signal("-INT");
    }
    let (code, _, stderr) = server.wait();
    assert_eq!(code, 0, "{stderr}");
    TcpListener::bind(&address).unwrap();
}

/// As from systemd: the socket is there before the server.
#[test]
fn sockets_of_systemd() {
    if !require_tool("systemd-socket-activate") || !require_tool("nbdcopy") {
        return;
    }
    let folder = Folder::new();
    let (image, data) = image();
    let path = folder.write("image.raw", &image.bytes);
    let root_hash = image.root_hashes[0].to_string();
    let socket = folder.file("socket");
    let mut child = Command::new("systemd-socket-activate")
        .args(["-l", &socket, DDI, "serve", &path, "--root-hash", &root_hash, "--one-client"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while UnixStream::connect(&socket).is_err() && Instant::now() < until {
        thread::sleep(Duration::from_millis(20));
    }
    let out = folder.file("out");
    let copied = run("nbdcopy", [&format!("nbd+unix:///root?socket={socket}"), &out]);
    assert!(copied.ok(), "{copied:?}");
    assert!(fs::read(out).unwrap() == data);
    assert!(child.wait().unwrap().success());
}

/// Many clients, each of which compares what it gets.
#[test]
fn many_clients_at_once() {
    if !require_tool("nbdcopy") {
        return;
    }
    let folder = Folder::new();
    let (image, data) = image();
    let path = folder.write("image.raw", &image.bytes);
    let root_hash = image.root_hashes[0].to_string();
    let socket = folder.file("socket");
    let args = [&path, "--root-hash", &root_hash, "--socket", &socket, "--connections", "200", "--json"];
    let server = Server::start(&args);
    in_parallel(16, |client| {
        let out = folder.file(&format!("out{client}"));
        let requests = 1 + Chance(client).below(64);
        let copied = run(
            "nbdcopy",
            [&format!("--requests={requests}"), &format!("nbd+unix:///root?socket={socket}"), &out],
        );
        assert!(copied.ok(), "{copied:?}");
        assert!(fs::read(&out).unwrap() == data);
        fs::remove_file(out).unwrap();
    });
    server.signal("-TERM");
    let (code, stdout, _) = server.wait();
    assert_eq!(code, 0);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&document["openConnections"], &document["corruptReads"]), (&0.into(), &0.into()));
}

#[test]
fn a_bare_image_with_its_tree_behind_it() {
    if !require_tool("nbdcopy") {
        return;
    }
    let folder = Folder::new();
    let data = erofs(300, 1);
    let (root_hash, tree) = hash_tree(&data);
    let path = folder.write("bare.raw", &[&data[..], &tree].concat());
    let hash = root_hash.to_string();
    let offset = data.len().to_string();
    let given = [path.as_str(), "--root-hash", &hash, "--hash-offset", &offset, "--export", "root"];
    let out = folder.file("out");
    let ended = serve(&given, &format!("nbdcopy \"$DDI_NBD_URI\" {out}"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(fs::read(&out).unwrap() == data);
}
