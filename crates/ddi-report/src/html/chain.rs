//! Who vouches for what: from the certificate down to the files.

use std::fmt::Display;

use serde_json::Value;

use super::writer::Html;
use crate::document::{Documents, is, list, member, some_text, text, uint};
use crate::text::{count, size};

/// Most trees that are drawn.
const MAX_SETS: usize = 64;
/// Most signatures of one tree.
const MAX_SIGNATURES: usize = 16;
/// Most levels of one tree: there are no more of 128-byte blocks over 2⁶⁴ bytes.
const MAX_LEVELS: usize = 64;

/// How far a link of the chain can be relied upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It follows from what the caller trusts.
    Proven,
    /// It matches what nobody vouches for.
    Intact,
    /// The image says so.
    Claimed,
    /// Nobody looked.
    Open,
    /// It is not what it should be.
    Broken,
    /// It is not there.
    Missing,
}

impl State {
    const ALL: [State; 6] =
        [State::Proven, State::Intact, State::Claimed, State::Open, State::Broken, State::Missing];

    fn class(self) -> &'static str {
        match self {
            State::Proven => "proven",
            State::Intact => "intact",
            State::Claimed => "claimed",
            State::Open => "untested",
            State::Broken => "broken",
            State::Missing => "missing",
        }
    }

    fn word(self) -> &'static str {
        match self {
            State::Proven => "proven",
            State::Intact => "intact only",
            State::Claimed => "claimed",
            State::Open => "not looked at",
            State::Broken => "broken",
            State::Missing => "missing",
        }
    }

    fn mark(self) -> &'static str {
        match self {
            State::Proven => "✓",
            State::Intact => "=",
            State::Claimed => "?",
            State::Open => "○",
            State::Broken => "✗",
            State::Missing => "–",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            State::Proven => "follows from what you trust",
            State::Intact => "fits together; nobody vouches for it",
            State::Claimed => "the image says so",
            State::Open => "this command does not read it",
            State::Broken => "is not what it should be",
            State::Missing => "is not there",
        }
    }
}

/// A hash tree, with what either document says of it.
struct Set<'a> {
    proof: Option<&'a Value>,
    set: Option<&'a Value>,
}

impl<'a> Set<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.proof.and_then(|proof| member(proof, key)).or_else(|| self.set.and_then(|set| member(set, key)))
    }

    fn signatures(&self) -> &'a [Value] {
        self.get("signatures").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The root hash, and where it is from.
    fn root_hash(&self) -> (Option<&'a str>, &'a str) {
        match self.get("rootHash") {
            Some(Value::String(hash)) => {
                (Some(hash), self.proof.map_or("", |proof| text(proof, "rootHashOrigin")))
            }
            Some(known) => (some_text(known, "hash"), text(known, "origin")),
            None => (None, ""),
        }
    }

    fn is_trusted(&self) -> bool {
        match self.proof {
            Some(proof) => is(proof, "trusted"),
            None => {
                self.root_hash().1 == "caller"
                    || self.signatures().iter().any(|signature| text(signature, "state") == "verified")
            }
        }
    }

    fn verdict(&self) -> Option<&'a Value> {
        member(self.proof?, "verdict")
    }

    fn parameters(&self) -> Option<&'a Value> {
        member(self.set?, "parameters")
    }

    /// What is proven here, if the root hash is.
    fn proven(&self) -> State {
        if self.is_trusted() { State::Proven } else { State::Intact }
    }
}

fn sets<'a>(documents: &Documents<'a>) -> Vec<Set<'a>> {
    let known = documents.inspect.map_or(&[][..], |inspect| list(inspect, "verity"));
    match documents.verify {
        Some(verify) => (list(verify, "proofs").iter())
            .map(|proof| {
                let hash = member(proof, "hash");
                let set = known.iter().find(|set| hash.is_some() && member(set, "hash") == hash);
                Set { proof: Some(proof), set }
            })
            .collect(),
        None => known.iter().map(|set| Set { proof: None, set: Some(set) }).collect(),
    }
}

/// Draws the chain of each hash tree.
pub(super) fn chains(html: &mut Html, documents: &Documents<'_>) {
    if documents.inspect.is_none() && documents.verify.is_none() {
        return;
    }
    let sets = sets(documents);
    html.markup("<section id=\"trust\" aria-labelledby=\"trust-h\"><h2 id=\"trust-h\">Chain of trust</h2>");
    if sets.is_empty() {
        html.markup("<p>There is no hash tree: nothing of this image can be proven, and all that it says is a claim.</p>");
        unproven(html, documents);
        html.markup("</section>");
        return;
    }
    html.markup("<ul class=\"legend\">");
    for state in State::ALL {
        html.within("li", &[], |html| {
            tag(html, state);
            html.text(" ");
            html.text(state.meaning());
        });
    }
    html.markup("</ul>");
    let is_used = |set: &&Set<'_>| set.get("selected").and_then(Value::as_bool).unwrap_or(true);
    for set in sets.iter().filter(is_used).chain(sets.iter().filter(|set| !is_used(set))).take(MAX_SETS) {
        chain(html, documents, set, is_used(&set));
    }
    let more = sets.len().saturating_sub(MAX_SETS);
    if more > 0 {
        html.leaf(
            "p",
            "note",
            format_args!("and {}", count(u64::try_from(more).unwrap_or(u64::MAX), "more hash tree")),
        );
    }
    unproven(html, documents);
    html.markup("</section>");
}

/// What some systemd would use, and nothing is proven of.
fn unproven(html: &mut Html, documents: &Documents<'_>) {
    let unproven = documents.verify.map_or(&[][..], |verify| list(verify, "unproven"));
    if unproven.is_empty() {
        return;
    }
    html.markup("<article class=\"chain\"><h3>Not protected</h3><ul class=\"plain\">");
    for partition in unproven.iter().take(MAX_SETS) {
        html.markup("<li>");
        tag(html, State::Claimed);
        html.text(format_args!(
            " partition {}, {}",
            uint(partition, "partition").unwrap_or(0),
            text(partition, "designator")
        ));
        if let Some(architecture) = some_text(partition, "architecture") {
            html.text(" ");
            html.text(architecture);
        }
        html.text(match is(partition, "used") {
            true => ": used, and nothing of it is proven",
            false => ": used by other machines or versions, and nothing of it is proven",
        });
        html.markup("</li>");
    }
    html.markup("</ul>");
    let more = unproven.len().saturating_sub(MAX_SETS);
    if more > 0 {
        html.leaf("p", "note", format_args!("and {more} more, in the document below"));
    }
    html.markup("</article>");
}

fn tag(html: &mut Html, state: State) {
    html.within("span", &[("class", &format_args!("tag {}", state.class()))], |html| {
        html.within("span", &[("aria-hidden", &"true")], |html| html.text(state.mark()));
        html.text(" ");
        html.text(state.word());
    });
}

fn chain(html: &mut Html, documents: &Documents<'_>, set: &Set<'_>, is_used: bool) {
    html.markup("<article class=\"chain\">");
    html.within("h3", &[], |html| {
        html.text(set.get("role").and_then(Value::as_str).unwrap_or("data"));
        if let Some(architecture) = set.get("architecture").and_then(Value::as_str) {
            html.text(" ");
            html.text(architecture);
        }
        if !is_used {
            html.leaf("small", "", " not in use");
        }
    });
    html.markup("<div class=\"two\"><ol class=\"rail\">");
    vouchers(html, set);
    root_hash(html, set);
    tree(html, set);
    data(html, documents, set);
    files(html, documents, set);
    html.markup("</ol>");
    pyramid(html, set);
    html.markup("</div></article>");
}

/// A link of the chain.
fn link(html: &mut Html, title: impl Display, state: State, body: impl FnOnce(&mut Html)) {
    html.within("li", &[("class", &state.class())], |html| {
        html.within("div", &[("class", &"head")], |html| {
            html.leaf("b", "", title);
            html.text(" ");
            tag(html, state);
        });
        body(html);
    });
}

fn line(html: &mut Html, what: impl Display) {
    html.within("p", &[], |html| html.quoted(what));
}

fn code(html: &mut Html, what: impl Display) {
    html.within("p", &[], |html| html.leaf("code", "", what));
}

/// The certificate and the signature; or the caller.
fn vouchers(html: &mut Html, set: &Set<'_>) {
    let by_caller = set.proof.is_some_and(|proof| list(proof, "trustedBy").iter().any(|by| by == "caller"))
        || set.root_hash().1 == "caller";
    if by_caller {
        link(html, "You", State::Proven, |html| line(html, "gave the root hash to the command"));
    }
    let signatures = set.signatures();
    // a root hash from the caller needs no signature, so none is missing
    if signatures.is_empty() && !by_caller {
        link(html, "Certificate", State::Missing, |html| line(html, "nobody signed"));
        link(html, "Signature", State::Missing, |_| {});
    }
    for signature in signatures.iter().take(MAX_SIGNATURES) {
        let place = match (text(signature, "place"), uint(signature, "partition")) {
            ("beside", _) => "in a file beside the image".to_owned(),
            (_, Some(number)) => format!("in partition {number}"),
            _ => "in the image".to_owned(),
        };
        match text(signature, "state") {
            "verified" => {
                let signer = signature.get("signer").unwrap_or(&Value::Null);
                link(html, "Certificate", State::Proven, |html| {
                    line(html, some_text(signer, "subject").unwrap_or("somebody without a name"));
                    code(html, text(signer, "certificateFingerprint"));
                    html.within("p", &[], |html| {
                        html.text(text(signer, "key"));
                        if let Some(path) = some_text(signer, "certificatePath") {
                            html.text(", trusted because of ");
                            html.quoted(path);
                        }
                        if is(signer, "expired") {
                            html.text("; past its end, which as in systemd does not matter");
                        }
                    });
                });
                link(html, "Signature", State::Proven, |html| {
                    line(html, place);
                    if let Some(bytes) = member(signer, "boundTree").and_then(|tree| uint(tree, "dataSize")) {
                        line(
                            html,
                            format_args!(
                                "signed along: the parameters of the tree, and that there are {bytes} bytes of data"
                            ),
                        );
                    }
                });
            }
            "not-trusted" => {
                // who made it is what the signature says itself: no trusted key bears it out
                let claims = signature.get("claims").unwrap_or(&Value::Null);
                link(html, "Certificate", State::Missing, |html| {
                    line(html, "none that you trust has this key");
                });
                link(html, "Signature", State::Claimed, |html| {
                    line(html, place);
                    html.within("p", &[], |html| {
                        html.text("says that it is by serial ");
                        html.leaf("code", "", text(claims, "serial"));
                        html.text(" of ");
                        html.quoted(text(claims, "issuer"));
                    });
                });
            }
            "other-root-hash" => link(html, "Signature", State::Broken, |html| {
                line(html, place);
                line(html, "is for another root hash:");
                code(html, text(signature, "rootHash"));
            }),
            "failed" => link(html, "Signature", State::Broken, |html| {
                line(html, place);
                line(html, signature.get("error").map_or("", |error| text(error, "message")));
            }),
            _ => link(html, "Signature", State::Claimed, |html| {
                line(html, place);
                line(html, "was not checked");
            }),
        }
    }
}

fn root_hash(html: &mut Html, set: &Set<'_>) {
    let (hash, origin) = set.root_hash();
    let state = match hash {
        None => State::Missing,
        Some(_) if set.is_trusted() => State::Proven,
        Some(_) => State::Claimed,
    };
    link(html, "Root hash", state, |html| {
        match hash {
            Some(hash) => code(html, hash),
            None => line(html, "is named nowhere"),
        }
        match origin {
            "caller" => line(html, "given by you"),
            "xattr" => line(html, "named in an extended attribute of the file"),
            "sidecar" => line(html, "named in a file beside the image"),
            "signature-partition" => line(html, "named in the signature partition"),
            "partition-guids" => line(html, "made from the GUIDs of the partitions"),
            _ => {}
        }
    });
}

fn tree(html: &mut Html, set: &Set<'_>) {
    if set.get("hash").is_none() {
        return link(html, "Hash tree", State::Missing, |_| {});
    }
    let problem = set.get("problem");
    let known = set.root_hash().0;
    let top = set.set.and_then(|set| some_text(set, "treeRootHash"));
    let (state, what) = match set.verdict() {
        Some(verdict) => {
            let bad: u64 = list(verdict, "levels").iter().map(corrupt).fold(0, u64::saturating_add);
            // the root hash first: below a top that is another one, blocks that match prove nothing
            match (is(verdict, "rootHashMatches"), bad) {
                (false, _) => (State::Broken, "the top of the tree does not match the root hash".to_owned()),
                (true, 0) => {
                    let blocks = uint(verdict, "hashBlocks").unwrap_or(0);
                    (set.proven(), format!("{} match", count(blocks, "hash block")))
                }
                (true, bad) => (State::Broken, format!("{} do not match", count(bad, "hash block"))),
            }
        }
        None => match (known, top) {
            (Some(known), Some(top)) if known == top => {
                (State::Open, "its top block matches the root hash; the others were not looked at".to_owned())
            }
            (Some(_), Some(_)) => (State::Broken, "its top block does not match the root hash".to_owned()),
            _ => (State::Open, String::new()),
        },
    };
    // a tree that has a problem is not just one that nobody looked at
    let state = if problem.is_some() && state == State::Open { State::Broken } else { state };
    link(html, "Hash tree", state, |html| {
        line(html, what);
        if let Some(parameters) = set.parameters() {
            line(
                html,
                format_args!(
                    "{}, {} in {}, data in blocks of {}",
                    text(parameters, "algorithm"),
                    count(uint(parameters, "hashBlocks").unwrap_or(0), "hash block"),
                    count(uint(parameters, "levels").unwrap_or(0), "level"),
                    size(uint(parameters, "dataBlockSize").unwrap_or(0))
                ),
            );
        }
        if let Some(problem) = problem {
            line(html, text(problem, "message"));
        }
    });
}

fn corrupt(level: &Value) -> u64 {
    level.get("corrupt").and_then(|blocks| uint(blocks, "count")).unwrap_or(0)
}

fn data(html: &mut Html, documents: &Documents<'_>, set: &Set<'_>) {
    if set.get("data").is_none() {
        return link(html, "Data", State::Missing, |_| {});
    }
    let Some(verdict) = set.verdict() else {
        let state = if set.proof.is_some() { State::Claimed } else { State::Open };
        return link(html, "Data", state, |html| match documents.verify {
            Some(_) => line(html, "were not proven"),
            None => line(html, "only the blocks that were read to make this report were proven"),
        });
    };
    let (proven, all) =
        (uint(verdict, "provenDataBlocks").unwrap_or(0), uint(verdict, "dataBlocks").unwrap_or(0));
    let state = if proven == all && is(verdict, "proven") { set.proven() } else { State::Broken };
    link(html, "Data", state, |html| {
        line(html, format_args!("{proven} of {} match", count(all, "block")));
        if let Some(unproven) =
            verdict.get("unprovenDataBlocks").and_then(|blocks| uint(blocks, "count")).filter(|n| *n > 0)
        {
            line(
                html,
                format_args!(
                    "{} cannot be judged: the hash block above is damaged",
                    count(unproven, "block")
                ),
            );
        }
    });
}

/// The file system in the data of this tree.
fn files(html: &mut Html, documents: &Documents<'_>, set: &Set<'_>) {
    let number = set.get("data").and_then(|data| uint(data, "partition"));
    let inside = documents.inspect.and_then(|inspect| member(inspect, "inside"));
    let found = inside.and_then(|inside| {
        list(inside, "fileSystems").iter().find(|found| uint(found, "partition") == number)
    });
    let damage = set.proof.and_then(|proof| member(proof, "damage"));
    let damaged = damage.map_or(0, |damage| {
        list(damage, "blocks").iter().filter_map(|run| uint(run, "fileCount")).fold(0, u64::saturating_add)
    });
    let is_whole = set.verdict().is_some_and(|verdict| is(verdict, "proven"));
    let state = match (set.verdict(), found.map(|found| text(found, "assurance"))) {
        (Some(_), _) if is_whole => set.proven(),
        (Some(_), _) => State::Broken,
        (None, Some("authenticated")) => State::Proven,
        (None, Some("intact")) => State::Intact,
        (None, Some(_)) => State::Claimed,
        (None, None) => return,
    };
    link(html, "Files", state, |html| {
        if let Some(kind) = found.and_then(|found| some_text(found, "type")) {
            html.within("p", &[], |html| {
                html.text(kind);
                if set.verdict().is_none() {
                    html.text(": each block was proven when it was read for this report");
                }
            });
        }
        if damaged > 0 {
            html.within("p", &[], |html| {
                html.markup("<a href=\"#damage\">");
                html.text(format_args!("{} in damaged blocks", count(damaged, "file")));
                html.markup("</a>");
            });
        }
    });
}

/// The tree, drawn: a bar for each level, as wide as its number of blocks has digits.
fn pyramid(html: &mut Html, set: &Set<'_>) {
    let Some(levels) = set
        .parameters()
        .and_then(|parameters| uint(parameters, "levels"))
        .or_else(|| Some(u64::try_from(list(set.verdict()?, "levels").len()).unwrap_or(0)))
    else {
        return;
    };
    let levels = usize::try_from(levels).unwrap_or(usize::MAX).min(MAX_LEVELS);
    let verdict = set.verdict();
    let blocks = set.parameters().or(verdict).and_then(|known| uint(known, "dataBlocks")).unwrap_or(0);
    let per_block = set.parameters().map_or(128, hashes_per_block).max(2);
    // numbers of blocks, data first
    let mut counts = vec![blocks];
    while counts.len() <= levels {
        let below = counts.last().copied().unwrap_or(1);
        counts.push(below.div_ceil(per_block));
    }
    let of_level = |number: usize| {
        let levels = list(verdict?, "levels");
        levels.iter().find(|level| uint(level, "level") == u64::try_from(number).ok())
    };
    let rows = counts.len().saturating_add(1);
    let height = rows.saturating_mul(34).saturating_add(6);
    let described = format!(
        "hash tree of {} over {}",
        count(u64::try_from(levels).unwrap_or(0), "level"),
        count(blocks, "data block")
    );
    html.open(
        "svg",
        &[
            ("class", &"pyramid"),
            ("role", &"img"),
            ("width", &"100%"),
            ("height", &height),
            ("aria-label", &described),
        ],
    );
    let root_state = if set.is_trusted() { State::Proven } else { State::Claimed };
    row(html, 0, 12, root_state, "root hash");
    for (index, blocks) in counts.iter().rev().enumerate() {
        let level = counts.len().saturating_sub(index).checked_sub(2);
        let (state, label) = match (level, verdict) {
            (Some(number), Some(verdict)) => {
                let bad = of_level(number).map_or(0, corrupt);
                let state =
                    if bad > 0 || !is(verdict, "rootHashMatches") { State::Broken } else { set.proven() };
                (state, format!("level {number}: {}", count(*blocks, "block")))
            }
            (Some(number), None) => (State::Open, format!("level {number}: {}", count(*blocks, "block"))),
            (None, Some(verdict)) if is(verdict, "proven") => {
                (set.proven(), format!("data: {}", count(*blocks, "block")))
            }
            (None, Some(_)) => (State::Broken, format!("data: {}", count(*blocks, "block"))),
            (None, None) => (State::Open, format!("data: {}", count(*blocks, "block"))),
        };
        // from a third of the width to all of it
        let step = index.saturating_add(1).saturating_mul(100).checked_div(counts.len()).unwrap_or(100);
        let width = step.saturating_mul(60).checked_div(100).unwrap_or(60).saturating_add(40);
        row(html, index.saturating_add(1), width, state, &label);
    }
    html.close("svg");
}

fn row(html: &mut Html, index: usize, width: usize, state: State, label: &str) {
    let y = index.saturating_mul(34).saturating_add(2);
    let width = width.clamp(40, 100);
    let x = 100usize.saturating_sub(width) / 2;
    html.open(
        "rect",
        &[
            ("class", &format_args!("s-{}", state.class())),
            ("x", &format_args!("{x}%")),
            ("y", &y),
            ("width", &format_args!("{width}%")),
            ("height", &"28"),
            ("rx", &"4"),
        ],
    );
    html.close("rect");
    html.within("text", &[("x", &"50%"), ("y", &y.saturating_add(19)), ("text-anchor", &"middle")], |html| {
        html.text(state.mark());
        html.text(" ");
        html.text(label);
    });
}

fn hashes_per_block(parameters: &Value) -> u64 {
    let block = uint(parameters, "hashBlockSize").unwrap_or(4096);
    match text(parameters, "algorithm") {
        "sha384" | "sha512" => block / 64,
        _ => block / 32,
    }
}
