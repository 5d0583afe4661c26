//! What may be behind the path that is given: never waited for, never written, refused with 2.

use super::{Class, Node};

pub(crate) fn images() -> Class {
    let mut class = Class::new("C8");
    let link = |to: &str| Node::Symlink(to.into());
    let mut add = |what: &str, path: &str, files: &[(&str, Node)], answer| {
        let files: Vec<_> = files.iter().map(|(name, node)| ((*name).to_owned(), node.clone())).collect();
        class.add_path(what, path, files.clone(), "inspect", 2, answer);
        class.add_path(what, path, files, "verify", 2, answer);
    };
    add("a FIFO", "image.raw", &[("image.raw", Node::Fifo)], "io");
    add("a directory", "image.raw", &[("image.raw", Node::Directory)], "io");
    add("a socket", "image.raw", &[("image.raw", Node::Socket)], "io");
    add("an empty file", "image.raw", &[("image.raw", Node::File(Vec::new()))], "empty-image");
    add("a link to itself", "image.raw", &[("image.raw", link("image.raw"))], "io");
    add("a link to nothing", "image.raw", &[("image.raw", link("nothing"))], "io");
    add("a link to a FIFO", "image.raw", &[("image.raw", link("fifo")), ("fifo", Node::Fifo)], "io");
    add("a link to /dev/zero", "image.raw", &[("image.raw", link("/dev/zero"))], "io");
    add("/dev/null", "/dev/null", &[], "io");
    add("/dev/zero", "/dev/zero", &[], "io");
    add("/dev/full", "/dev/full", &[], "io");
    add("/dev/tty", "/dev/tty", &[], "io");
    add("/dev/ptmx", "/dev/ptmx", &[], "io");
    // a regular file, of no size
    add("a file of /proc", "/proc/self/environ", &[], "empty-image");
    add("the memory of the process", "/proc/self/mem", &[], "empty-image");
    add("the root directory", "/", &[], "io");
    add("a file with a slash behind it", "image.raw/", &[("image.raw", Node::File(vec![1; 4096]))], "io");
    add("a name of 300 letters", &"x".repeat(300), &[], "io");
    add("a path of 5000 letters", &"x/".repeat(2500), &[], "io");
    add("a name with an escape sequence, of nothing", "image\x1b[31m\u{202e}.raw", &[], "io");
    class
}
