//! `--html`, `--markdown`, `--sarif`: reports to keep. What a browser makes of the page is asked of a browser.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::hostile;
use crate::support::image::{ImageBuilder, erofs};
use crate::support::{Folder, ddi, in_parallel, require_tool, run, run_within, say_skipped};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sample.raw");
const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sample.crt");
const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sarif-2.1.0.schema.json");

/// Names that would do something if they were taken for more than text: each sets the title of the page.
const NAMES: [&[u8]; 16] = [
    b"<script>document.title='ran1'<",
    b"\" onmouseover=\"document.title='ran2'",
    b"'><img src=x onerror=document.title='ran3'>",
    b"<svg onload=document.title='ran4'>",
    b"<ul><style>",
    b"\xe2\x80\xaegnp.txt",
    b"\xff\xfe",
    b"a\nb\x1b[31m",
    b"&lt;b&gt;&amp;",
    b"back\\slash",
    b"-->",
    b"]]>",
    b"\xe2\x80\x8bzero",
    "שלום.txt".as_bytes(),
    "漢字😀.txt".as_bytes(),
    b"javascript:document.title='ran5'",
];

/// An image with nothing but hostile text, and so many more files. `None` without mkfs.erofs.
fn hostile_image(folder: &Folder, files: usize) -> Option<String> {
    if !require_tool("mkfs.erofs") {
        return None;
    }
    let tree = folder.path().join("tree");
    let inside = tree.join("usr/lib");
    fs::create_dir_all(&inside).unwrap();
    let release = "ID=evil\nNAME=\"<script>document.title='ran6'</script>\"\n\
        PRETTY_NAME=\"</title></style></pre><img src=x onerror=document.title='ran7'> \u{202e}\u{5d0}\"\n\
        VERSION_ID=\"'\\\"><svg onload=document.title='ran8'>\"\n";
    fs::write(inside.join("os-release"), release).unwrap();
    let (hostile, many, mut deep) = (tree.join("hostile"), tree.join("many"), tree.join("deep"));
    fs::create_dir(&hostile).unwrap();
    for name in NAMES {
        fs::write(hostile.join(OsStr::from_bytes(name)), b"x").unwrap();
    }
    std::os::unix::fs::symlink("</script><script>document.title='ran9'</script>", hostile.join("link"))
        .unwrap();
    fs::create_dir(&many).unwrap();
    for number in 0..files {
        fs::write(many.join(format!("f{number:06}")), b"").unwrap();
    }
    for _ in 0..100 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("<b>bottom"), b"").unwrap();
    let packed = folder.file("root.erofs");
    run("mkfs.erofs", ["--quiet", &packed, tree.to_str().unwrap()]).unwrap();
    let image = ImageBuilder::new()
        .verity("root-x86-64", "<svg/onload=document.title=0>", fs::read(packed).unwrap())
        .partition("home", "\u{202e}</style><b>", vec![0; 4096])
        .build();
    Some(folder.write("'\"><script>document.title='ran10'<.raw", &image.bytes))
}

/// What a browser makes of the page, after `budget` of its own time.
fn dom(folder: &Folder, page: &str, budget: u32) -> String {
    let profile = folder.file("profile");
    let mut command = Command::new("chromium");
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-extensions",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={profile}"))
        .arg(format!("--virtual-time-budget={budget}"))
        .arg(format!("file://{page}"));
    let ended = run_within(command, Duration::from_secs(120));
    let _ = fs::remove_dir_all(profile);
    assert!(ended.ok(), "{ended:?}");
    ended.stdout
}

fn title(html: &str) -> &str {
    html.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0
}

/// Names of elements in that HTML, as a browser wrote it down.
fn elements(html: &str) -> BTreeSet<&str> {
    html.split('<')
        .skip(1)
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()))
        .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap())
        .collect()
}

/// Without the policy for content, to show that a test would notice.
fn without_policy(page: &str) -> String {
    let (before, rest) = page.split_once("<meta http-equiv=\"Content-Security-Policy\"").unwrap();
    let (_, after) = rest.split_once('>').unwrap();
    format!("{before}{after}")
}

fn page_of(folder: &Folder, args: &[&str]) -> String {
    let html = folder.file("report.html");
    let ended = ddi(args.iter().copied().chain(["--html", &html]));
    assert!(matches!(ended.code, Some(0..=3)), "{ended:?}");
    fs::read_to_string(html).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// The words of an image are text: none becomes an element, none runs, with a hundred thousand files, and with or without the
/// policy for content.
#[test]
fn html_of_a_hostile_image_runs_nothing() {
    let folder = Folder::new();
    let Some(image) = hostile_image(&folder, 100_000) else { return };
    let start = Instant::now();
    let page = page_of(&folder, &["verify", &image]);
    println!("{} bytes in {:?}", page.len(), start.elapsed());
    assert!(page.len() < 20 << 20, "{}", page.len());
    let named = |text: &str| assert!(page.contains(text), "{text}");
    named("<bdi>&lt;script&gt;document.title=&#39;ran1&#39;&lt;</bdi>");
    named("<span class=\"x\">\\u{202e}</span>gnp.txt");
    named("<span class=\"x\">\\xff</span><span class=\"x\">\\xfe</span>");
    named("f099999");
    named("&lt;b&gt;bottom");
    let invisible =
        |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c) || c == '\u{200b}';
    assert!(!page.contains(invisible), "something cannot be seen");
    if !require_tool("chromium") {
        return;
    }
    let ours = folder.file("report.html");
    let bare = folder.write("bare.html", without_policy(&page).as_bytes());
    for path in [&ours, &bare] {
        let start = Instant::now();
        let seen = dom(&folder, path, 2000);
        println!("{path}: {:?}", start.elapsed());
        assert!(title(&seen).starts_with("INTACT ONLY: "), "{}", title(&seen));
        assert_eq!(seen.matches("<script").count(), 1, "ours");
        let known: BTreeSet<_> = "a article b bdi body code dd defs details div dl dt em figcaption figure footer form g h1 h2 h3 \
            head header html i input label li link main meta nav ol output p path pattern pre rect script section small span \
            style summary svg table tbody td text th thead title tr ul"
            .split_whitespace()
            .collect();
        // the script and the style have comparisons and no elements
        let (before, script) = seen.rsplit_once("<script>").unwrap();
        assert!(script.contains("</script>"));
        let strange: Vec<_> = elements(before).difference(&known).copied().collect();
        assert!(strange.is_empty(), "{strange:?}");
        assert!(!before.contains(" onload=\"") && !before.contains(" onerror=\""), "an attribute");
    }
}

/// Should text ever become markup, it would still not run: the same page without its policy shows that this would be noticed.
#[test]
fn html_has_a_policy_that_runs_nothing_else() {
    if !require_tool("chromium") {
        return;
    }
    let folder = Folder::new();
    let page = page_of(&folder, &["verify", SAMPLE, "--certificate", CERTIFICATE]);
    for injected in [
        "<script>document.title='ran'</script>",
        "<img src=x onerror=\"document.title='ran'\">",
        "<svg onload=\"document.title='ran'\"></svg>",
        "<iframe srcdoc=\"<script>parent.document.title='ran'</script>\"></iframe>",
    ] {
        let page = page.replacen("<main id=\"main\">", &format!("<main id=\"main\">{injected}"), 1);
        let with = folder.write("with.html", page.as_bytes());
        let without = folder.write("without.html", without_policy(&page).as_bytes());
        assert_eq!(title(&dom(&folder, &with, 1000)), "VERIFIED: sample.raw", "{injected}");
        assert_eq!(title(&dom(&folder, &without, 1000)), "ran", "{injected}: it would run");
    }
}

/// The search finds names in paths, and shows where they are.
#[test]
fn html_can_be_searched() {
    if !require_tool("chromium") {
        return;
    }
    let folder = Folder::new();
    let page = without_policy(&page_of(&folder, &["inspect", SAMPLE, "--certificate", CERTIFICATE]));
    let typed = "</script><script>addEventListener('load',()=>{const q=document.getElementById('query');\
        q.value='LIB/OS-REL';q.dispatchEvent(new Event('input'));setTimeout(()=>document.querySelector('#found button').click(),500)})\
        </script></body>";
    let page = page.replacen("</script></body>", typed, 1);
    let seen = dom(&folder, &folder.write("typed.html", page.as_bytes()), 3000);
    assert!(seen.contains("<button type=\"button\">/usr/lib/os-release</button>"), "{seen}");
    assert!(seen.contains(">1 match</output>"));
    assert!(seen.contains("<li class=\"hit\"><bdi>os-release</bdi>"));
    // the folders above it are open, the others are not
    assert!(seen.contains("<details open=\"\"><summary><bdi>lib</bdi>/"));
    assert!(seen.contains("<details><summary><bdi>etc</bdi>/"));
}

/// Pages of good, damaged, unsigned and hostile images.
fn pages(folder: &Folder) -> Vec<String> {
    let mut damaged = fs::read(SAMPLE).unwrap();
    damaged[45000] ^= 1;
    let damaged = folder.write("damaged.raw", &damaged);
    let plain = ImageBuilder::new().verity("root-x86-64", "<b>", erofs(8, 1)).build();
    let plain = folder.write("plain.raw", &plain.bytes);
    let mut pages = vec![
        page_of(folder, &["verify", SAMPLE, "--certificate", CERTIFICATE]),
        page_of(folder, &["verify", &damaged, "--certificate", CERTIFICATE]),
        page_of(folder, &["verify", &plain]),
        page_of(folder, &["inspect", SAMPLE]),
        page_of(folder, &["inspect", &damaged, "--image-policy", "sysext"]),
        page_of(folder, &["check", "golden", SAMPLE]),
    ];
    if let Some(image) = hostile_image(folder, 1200) {
        pages.push(page_of(folder, &["verify", &image]));
    }
    pages
}

/// What axe-core asks of a page, where there is axe-core (`DDI_AXE`: its axe.min.js); and always what can be asked without.
#[test]
fn html_is_accessible() {
    let folder = Folder::new();
    let pages = pages(&folder);
    for page in &pages {
        asked_of_a_page(page);
    }
    let Some(axe) = std::env::var_os("DDI_AXE") else { return say_skipped("no DDI_AXE: axe-core") };
    if !require_tool("chromium") {
        return;
    }
    let axe = fs::read_to_string(axe).unwrap();
    for (number, page) in pages.iter().enumerate() {
        let run = format!(
            "</script><script>{axe}</script><script>document.querySelectorAll('details').forEach(d=>d.open=true);\
             axe.run().then(r=>{{document.title='axe '+r.passes.length+' '+JSON.stringify(r.violations.map(v=>[v.id,v.impact,v.nodes.map(n=>n.html).slice(0,3)]))}})\
             </script></body>"
        );
        let page = without_policy(page).replacen("</script></body>", &run, 1);
        let seen = dom(&folder, &folder.write(&format!("axe{number}.html"), page.as_bytes()), 20_000);
        let (passes, violations) = title(&seen).strip_prefix("axe ").unwrap().split_once(' ').unwrap();
        assert!(passes.parse::<u32>().unwrap() > 15, "{passes}");
        assert_eq!(violations, "[]", "page {number}");
    }
}

/// Language, title, one heading at the top and the others in order, names of sections, tables, pictures and inputs, links that
/// lead somewhere.
fn asked_of_a_page(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
    assert!(!title(page).is_empty());
    for landmark in ["<header", "<nav aria-label=", "<main", "<footer"] {
        assert_eq!(page.matches(landmark).count(), 1, "{landmark}");
    }
    let mut last = 0;
    for (at, _) in page.match_indices("<h") {
        let Some(level) = page[at + 2..].chars().next().and_then(|c| c.to_digit(10)) else { continue };
        assert!(level <= last + 1, "h{level} after h{last}");
        assert!(level != 1 || last == 0, "a second h1");
        last = level;
    }
    assert!(last > 1);
    let attributes = |name: &str| -> Vec<&str> {
        page.split(&format!(" {name}=\"")).skip(1).map(|rest| rest.split_once('"').unwrap().0).collect()
    };
    let ids = attributes("id");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    for target in attributes("href") {
        assert!(ids.contains(&target.strip_prefix('#').expect(target)), "{target}");
    }
    for id in attributes("aria-labelledby").into_iter().chain(attributes("for")) {
        assert!(ids.contains(&id), "{id}");
    }
    for section in page.split("<section").skip(1) {
        assert!(section.split_once('>').unwrap().0.contains("aria-labelledby="));
    }
    for th in page.split("<th ").skip(1) {
        assert!(th.starts_with("scope=\"col\""));
    }
    for svg in page.split("<svg ").skip(1).map(|svg| svg.split_once('>').unwrap().0) {
        assert!(svg.contains("aria-label=") || svg.contains("overflow=\"hidden\""), "{svg}");
    }
}

/// Every pair of colours that text has can be told apart: 4.5 to 1, in light, in dark and on paper.
#[test]
fn html_has_colours_that_can_be_read() {
    let style = include_str!("../../../crates/ddi-report/src/html/style.css");
    let schemes: Vec<_> = style.split(":root{").skip(1).map(|rest| rest.split_once('}').unwrap().0).collect();
    assert_eq!(schemes.len(), 3);
    let colour = |scheme: &str, name: &str| -> [f64; 3] {
        let value = scheme
            .split(';')
            .find_map(|rule| rule.strip_prefix(&format!("--{name}:#")))
            .unwrap_or_else(|| panic!("{name}"));
        let wide =
            if value.len() == 3 { value.chars().flat_map(|c| [c, c]).collect() } else { value.to_owned() };
        [0, 2, 4].map(|at| {
            let part = f64::from(u8::from_str_radix(&wide[at..at + 2], 16).unwrap()) / 255.0;
            if part <= 0.03928 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        })
    };
    let light = |[r, g, b]: [f64; 3]| 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
    for scheme in schemes {
        for (text, ground) in [
            ("ink", "card"),
            ("ink", "bg"),
            ("soft", "card"),
            ("soft", "bg"),
            ("link", "card"),
            ("link", "bg"),
            ("good", "card"),
            ("open", "card"),
            ("warn", "card"),
            ("bad", "card"),
            ("good", "good-bg"),
            ("open", "open-bg"),
            ("warn", "warn-bg"),
            ("bad", "bad-bg"),
            ("dim", "dim-bg"),
            ("ink", "good-bg"),
            ("ink", "open-bg"),
            ("ink", "warn-bg"),
            ("ink", "bad-bg"),
            ("ink", "dim-bg"),
        ] {
            let (a, b) = (light(colour(scheme, text)), light(colour(scheme, ground)));
            let ratio = a.max(b) / a.min(b);
            assert!(ratio >= 4.5, "{text} on {ground}: {ratio:.2} in {scheme}");
        }
        // white words in the bars of the map
        for bar in ["data", "tree", "sig", "boot", "rw", "gpt"] {
            let ratio = 1.05 / light(colour(scheme, bar));
            assert!(ratio >= 4.5, "white on {bar}: {ratio:.2} in {scheme}");
        }
    }
}

/// The page and the terminal come to the same, for every image that somebody hostile made.
#[test]
fn html_says_what_the_terminal_says() {
    let folder = Folder::new();
    let all = hostile::all();
    assert!(all.len() > 100);
    in_parallel(all.len() as u64, |number| {
        let hostile = &all[number as usize];
        let folder = Folder::new();
        let path = hostile.make(folder.path());
        let html = folder.file("report.html");
        let mut args = hostile.args(folder.path(), &path);
        args.extend(["--html".to_owned(), html.clone()]);
        let ended = ddi(["verify".to_owned()].into_iter().chain(args));
        match fs::read_to_string(&html) {
            Ok(page) => {
                let (word, _) = title(&page).split_once(": ").unwrap();
                assert!(ended.stdout.starts_with(&format!("{word} ")), "{word}: {ended:?}");
                asked_of_a_page(&page);
            }
            Err(_) => assert_eq!(ended.code, Some(2), "{ended:?}"),
        }
    });
    drop(folder);
}

/// The documents in the page are those that the command prints.
#[test]
fn html_has_the_document() {
    let folder = Folder::new();
    let page = page_of(&folder, &["verify", SAMPLE, "--certificate", CERTIFICATE]);
    let document = page.split_once("<pre tabindex=\"0\">").unwrap().1.split_once("</pre>").unwrap().0;
    let document = document
        .replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
    let printed = ddi(["verify", "--json", SAMPLE, "--certificate", CERTIFICATE]).json();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&document).unwrap(), printed);
    // and the same again is the same
    assert_eq!(page_of(&folder, &["verify", SAMPLE, "--certificate", CERTIFICATE]), page);
}

/// Which files are damaged is said where the map is.
#[test]
fn html_names_damaged_files() {
    let folder = Folder::new();
    let mut bytes = fs::read(SAMPLE).unwrap();
    bytes[45000] ^= 1;
    let damaged = folder.write("damaged.raw", &bytes);
    let page = page_of(&folder, &["verify", &damaged, "--certificate", CERTIFICATE]);
    let damage = page.split_once("<section id=\"damage\"").unwrap().1.split_once("</section>").unwrap().0;
    assert!(damage.contains("23 data blocks: 1 corrupt, 0 that cannot be judged"), "{damage}");
    assert!(damage.contains("<bdi>/usr/share/doc/numbers</bdi>"), "{damage}");
    // the third of 23 squares, and no other
    assert!(damage.contains("<path class=\"c-corrupt\" d=\"M20 0h9v9h-9z\">"), "{damage}");
}

/// What nothing is proven of is said where the proof is; and what cannot be told is not told.
#[test]
fn html_tells_what_is_not_protected() {
    let folder = Folder::new();
    let image = ImageBuilder::new()
        .verity("root-x86-64", "os", erofs(8, 1))
        .partition("home", "home", vec![0; 4096])
        .build();
    let whole = folder.write("whole.raw", &image.bytes);
    let page = page_of(&folder, &["verify", &whole, "--architecture", "x86-64"]);
    let trust = page.split_once("<section id=\"trust\"").unwrap().1.split_once("</section>").unwrap().0;
    assert!(trust.contains("<h3>Not protected</h3>"), "{trust}");
    assert!(trust.contains("partition 4, home: used, and nothing of it is proven"), "{trust}");
    let damaged = folder.write("damaged.raw", &image.damage(image.partitions[0].offset).bytes);
    let page = page_of(&folder, &["inspect", &damaged, "--architecture", "x86-64"]);
    let uses = page.split_once("<section id=\"use\"").unwrap().1.split_once("</section>").unwrap().0;
    assert!(uses.contains("It cannot be told: ") && !uses.contains("Nothing that systemd"), "{uses}");
}

/// A report is complete or absent, and no command writes over what it reads.
#[test]
fn reports_are_complete_or_absent() {
    let folder = Folder::new();
    let image = folder.write("image.raw", &fs::read(SAMPLE).unwrap());
    let certificate = folder.write("vendor.crt", &fs::read(CERTIFICATE).unwrap());
    let beside = folder.write("image.roothash", b"00");
    for option in ["--html", "--sarif"] {
        for read in [&image, &certificate, &beside] {
            let ended = ddi(["inspect", &image, "--certificate", &certificate, option, read]);
            assert_eq!(ended.code, Some(2), "{ended:?}");
            assert!(ended.stderr.contains("must not be overwritten"), "{ended:?}");
            assert_eq!(ended.stdout, "", "before anything is read");
        }
        let ended = ddi(["check", "golden", &image, option, &image]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let nowhere = folder.file("no/report");
        assert_eq!(ddi(["verify", &image, option, &nowhere]).code, Some(2));
    }
    assert_eq!(fs::read(&image).unwrap(), fs::read(SAMPLE).unwrap());
    fs::remove_file(&beside).unwrap();
    let report = folder.file("report.html");
    let both = ddi(["verify", &image, "--html", &report, "--sarif", &report]);
    assert_eq!(both.code, Some(2), "{both:?}");
    // what is no image has no report
    let nothing = folder.write("nothing", b"");
    assert_eq!(ddi(["verify", "/nowhere", "--html", &report]).code, Some(2));
    assert!(!Path::new(&report).exists());
    let ended = ddi(["inspect", &nothing, "--html", &report]);
    assert!(ended.code.is_some(), "{ended:?}");
    fs::write(&report, b"old").unwrap();
    assert_eq!(ddi(["verify", &image, "--certificate", &certificate, "--html", &report]).code, Some(0));
    assert!(fs::read_to_string(&report).unwrap().ends_with("</html>\n"));
    assert_eq!(ddi(["verify", "--json", "--markdown", &image]).code, Some(2), "one or the other");
}

#[test]
fn markdown_tells_what_was_found() {
    let folder = Folder::new();
    let mut bytes = fs::read(SAMPLE).unwrap();
    bytes[45000] ^= 1;
    let damaged = folder.write("a_b*c.raw", &bytes);
    let told = ddi(["verify", "--markdown", &damaged, "--certificate", CERTIFICATE]);
    assert_eq!(told.code, Some(1));
    assert!(told.stdout.starts_with("## ❌ NOT PROVEN: <code>"), "{}", told.stdout);
    assert!(told.stdout.contains("a&#95;b&#42;c.raw</code>"), "{}", told.stdout);
    assert!(told.stdout.contains("| 22 of 23 | <code>262757df7d5755c592d74c7fa869421aae036b0b3a40039445a493da59efc8eb</code> | <code>CN&#61;ddi sample</code> |"));
    assert!(told.stdout.contains("| 2–2 | corrupt | <code>/usr/share/doc/numbers</code> |"));
    let told = ddi(["check", "golden", "--markdown", SAMPLE]);
    assert!(told.stdout.contains("## ✅ PASSED"), "{}", told.stdout);
    assert!(told.stdout.contains("<code>/etc/hostname</code>"), "{}", told.stdout);
}

/// Against the schema of the standard, with a validator that is not ours.
#[test]
fn sarif_is_what_its_schema_says() {
    let folder = Folder::new();
    let mut made = Vec::new();
    let mut ask = |args: &[&str]| {
        let path = folder.file(&format!("{}.sarif", made.len()));
        let ended = ddi(args.iter().copied().chain(["--sarif", &path]));
        assert!(matches!(ended.code, Some(0..=3)), "{ended:?}");
        let value: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        made.push(path);
        value
    };
    let golden = ask(&["check", "golden", SAMPLE]);
    ask(&["check", "portable", SAMPLE]);
    ask(&["check", "boot", SAMPLE]);
    let release = folder.write("os-release", b"ID=x\n");
    ask(&["check", "extension", SAMPLE, "--host", &release]);
    ask(&["inspect", SAMPLE]);
    let plain = ImageBuilder::new().partition("root-x86-64", "[a](http://x) {0}", vec![0; 4096]).build();
    let plain = folder.write("a b.raw", &plain.bytes);
    let inspected = ask(&["inspect", &plain]);
    let results = golden["runs"][0]["results"].as_array().unwrap();
    let printed = ddi(["check", "golden", "--json", SAMPLE]).json();
    assert_eq!(results.len(), printed["findings"].as_array().unwrap().len());
    assert_eq!(results[0]["ruleId"], printed["findings"][0]["code"]);
    let places: Vec<_> = inspected["runs"][0]["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| &result["locations"][0]["physicalLocation"])
        .collect();
    assert!(
        places.iter().all(|place| place["artifactLocation"]["uri"].as_str().unwrap().ends_with("/a%20b.raw")),
        "{places:?}"
    );
    assert!(places.iter().any(|place| place["region"]["byteOffset"].is_u64()), "{places:?}");
    let check = "import json,sys\nimport jsonschema\nv=jsonschema.Draft7Validator(json.load(open(sys.argv[1])))\n\
        bad=[f+': '+e.message for f in sys.argv[2:] for e in v.iter_errors(json.load(open(f)))]\nprint('\\n'.join(bad))\nsys.exit(bool(bad))";
    if !require_tool("python3") {
        return;
    }
    if !run("/usr/bin/python3", ["-c", "import jsonschema"]).ok() {
        return crate::support::skip("no python3-jsonschema");
    }
    run("/usr/bin/python3", ["-c", check, SCHEMA].into_iter().chain(made.iter().map(String::as_str)))
        .unwrap();
    let broken = folder.write("broken.sarif", b"{\"version\":\"2.1.0\",\"runs\":[{\"results\":[{}]}]}");
    assert!(!run("/usr/bin/python3", ["-c", check, SCHEMA, &broken]).ok(), "the validator looks");
}
