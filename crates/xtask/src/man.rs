//! Manual pages.

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use crate::cli::Cli;
use crate::examples::EXAMPLES;
use crate::exit::CAUSES;

/// Of the release, as a page has to have one: the same sources give the same pages.
const DATE: &str = "2026-11-30";

/// Every page: the name of its file, and its text.
pub(crate) fn pages() -> Vec<(String, String)> {
    let mut command = Cli::command();
    command.build();
    let mut pages = Vec::new();
    add(&mut pages, &command, "ddi", "ddi");
    pages
}

/// The page of a command and those of its subcommands.
fn add(pages: &mut Vec<(String, String)>, command: &Command, name: &str, typed: &str) {
    pages.push((format!("{name}.1"), page(command, name, typed)));
    // those called help say what the pages say
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let (name, typed) = (format!("{name}-{}", sub.get_name()), format!("{typed} {}", sub.get_name()));
        add(pages, sub, &name, &typed);
    }
}

fn page(command: &Command, name: &str, typed: &str) -> String {
    // leaked, as the definitions of arguments want names that live as long as the program, which is short
    let leak = |text: &str| -> &'static str { text.to_owned().leak() };
    let shown = command.clone().name(leak(name)).bin_name(leak(typed)).display_name(leak(name));
    let man = Man::new(shown.clone())
        .manual("Disk images")
        .source(leak(&format!("ddi {}", env!("CARGO_PKG_VERSION"))))
        .date(DATE);
    let mut page = Vec::new();
    let mut write = || -> std::io::Result<()> {
        man.render_title(&mut page)?;
        man.render_name_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        if command.get_arguments().next().is_some() {
            man.render_options_section(&mut page)?;
        }
        let subs: Vec<_> = command.get_subcommands().filter(|sub| sub.get_name() != "help").collect();
        if !subs.is_empty() {
            let mut roff = Roff::new();
            roff.control("SH", ["COMMANDS"]);
            for sub in subs {
                entry(&mut roff, &format!("{typed} {}", sub.get_name()), &about(sub));
                roff.text([roman("See "), bold(format!("{name}-{}", sub.get_name())), roman("(1).")]);
            }
            roff.to_writer(&mut page)?;
        }
        let mut roff = Roff::new();
        roff.control("SH", ["EXIT STATUS"]);
        let own = exit_status(command);
        for (status, meaning) in &own {
            entry(&mut roff, status, meaning);
        }
        if !own.is_empty() {
            roff.control("SS", ["Causes"]);
        }
        roff.text([roman(
            "The same of all commands. Of several causes the worst counts: 1, then 2, then 3.",
        )]);
        for cause in CAUSES {
            entry(&mut roff, &(cause.status as u8).to_string(), cause.what);
        }
        let examples: Vec<_> = EXAMPLES.iter().filter(|(line, _)| command_of(command, typed, line)).collect();
        if !examples.is_empty() {
            roff.control("SH", ["EXAMPLES"]);
            for (line, what) in examples {
                roff.control("TP", []);
                roff.text([bold(*line)]);
                roff.text([roman(*what)]);
            }
        }
        roff.control("SH", ["SEE ALSO"]);
        roff.text(see_also(name));
        roff.to_writer(&mut page)
    };
    write().expect("memory can be written to");
    // an empty line between two breaks is one space: mandoc says so
    String::from_utf8(page).expect("pages are text").replace("\n.br\n\n.br\n", "\n.sp\n")
}

fn entry(roff: &mut Roff, title: &str, text: &str) {
    roff.control("TP", []);
    roff.text([bold(title)]);
    roff.text([roman(text)]);
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// Returns true if that line is an example of this command. One that does nothing itself has those of the commands below.
fn command_of(command: &Command, typed: &str, line: &str) -> bool {
    let Some(rest) = line.strip_prefix(typed).filter(|rest| rest.is_empty() || rest.starts_with(' ')) else {
        return false;
    };
    let next = rest.split(' ').nth(1).unwrap_or_default();
    command.is_subcommand_required_set() || !command.get_subcommands().any(|sub| sub.get_name() == next)
}

/// What the numbers mean for this command, as `--help` has it at its end.
fn exit_status(command: &Command) -> Vec<(String, String)> {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines = text.lines().skip_while(|line| *line != "Exit status:").skip(1);
    let mut meant: Vec<(String, String)> = Vec::new();
    for line in lines {
        if line.is_empty() {
            break;
        }
        match line.trim_start().split_once("  ").filter(|(number, _)| number.parse::<u8>().is_ok()) {
            Some((number, meaning)) => meant.push((number.to_owned(), meaning.trim().to_owned())),
            None => {
                let Some((_, meaning)) = meant.last_mut() else { continue };
                meaning.push(' ');
                meaning.push_str(line.trim());
            }
        }
    }
    meant
}

fn see_also(name: &str) -> Vec<Inline> {
    let mut pages = vec!["systemd-dissect", "systemd-repart", "veritysetup"];
    if name != "ddi" {
        pages.insert(0, "ddi");
    }
    let mut text = Vec::new();
    for (index, page) in pages.into_iter().enumerate() {
        if index > 0 {
            text.push(roman(", "));
        }
        text.push(bold(page));
        text.push(roman(match page {
            "ddi" | "systemd-dissect" => "(1)",
            _ => "(8)",
        }));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each command has a page with what people look for.
    #[test]
    fn each_command_has_a_page() {
        let pages = pages();
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in [
            "ddi.1",
            "ddi-inspect.1",
            "ddi-verify.1",
            "ddi-check-golden.1",
            "ddi-verity-format.1",
            "ddi-policy-show.1",
        ] {
            assert!(names.contains(&name), "{names:?}");
        }
        for (name, page) in &pages {
            for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "EXAMPLES", "SEE ALSO"] {
                let heading = if section.contains(' ') {
                    format!(".SH \"{section}\"")
                } else {
                    format!(".SH {section}")
                };
                assert!(page.contains(&heading), "{name} has no {section}:\n{page}");
            }
        }
        let (_, verify) = pages.iter().find(|(name, _)| name == "ddi-verify.1").unwrap();
        assert!(verify.contains("\\-\\-certificate"), "{verify}");
        // the whole table, on each page
        for (name, page) in &pages {
            for cause in CAUSES {
                let shown = cause.what.replace('-', "\\-");
                assert!(page.contains(&shown), "{name}: {shown}");
            }
        }
    }
}
