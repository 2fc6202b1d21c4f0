//! Operations on files: each attempt is recorded with the class of its path, then done on the tree in memory.

use serde_json::{Value, json};

use crate::trace::{Origin, What};
use crate::world::World;
use crate::world::args::{Answer, Args, Fault, Reply};
use crate::world::classes::class_of;
use crate::world::files::{Node, normal};

impl World {
    /// The class of a path for whoever asks.
    pub(super) fn class(&self, path: &str, origin: &Origin, writes: bool) -> String {
        let own = origin.site.as_ref().and_then(|site| self.folder_of(&site.file));
        class_of(path, own.as_deref(), writes).to_owned()
    }

    /// The class of a path that is overwritten, moved or removed: what somebody else put there is told apart from what
    /// packages keep beside it.
    fn class_destroyed(&self, path: &str, origin: &Origin) -> String {
        let class = self.class(path, origin, true);
        let shared = matches!(class.as_str(), "userdir" | "home" | "system");
        if shared && self.files.was_before(path) {
            return "others".to_owned();
        }
        class
    }

    /// `fs.read{path}`
    pub(super) fn fs_read(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let path = normal(args.text("path"));
        let class = self.class(&path, &origin, false);
        let read = if path.starts_with("/proc/") && path.ends_with("/environ") {
            Ok(self.environ().into())
        } else {
            self.files.read(&path)
        };
        self.record(
            What::FsRead {
                class,
                found: read.is_ok(),
                path,
            },
            origin,
        )?;
        Ok(read.map(Reply::Bytes))
    }

    /// `fs.write{path,append,exclusive,mode}` with the content.
    pub(super) fn fs_write(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let path = normal(args.text("path"));
        let class = self.class_destroyed(&path, &origin);
        let payload = self.payload(args.body());
        self.record(
            What::FsWrite {
                path: path.clone(),
                class: class.clone(),
                payload,
            },
            origin.clone(),
        )?;
        let mode = match args.number("mode") {
            0 => 0o644,
            mode => mode as u32 & 0o7777,
        };
        if mode & 0o111 != 0 {
            self.record(
                What::FsMode {
                    path: path.clone(),
                    class,
                    mode,
                },
                origin,
            )?;
        }
        if args.flag("exclusive") && self.files.find(&path).is_some() {
            return Ok(Err(Fault::file("EEXIST", "open", &path)));
        }
        if args.flag("append") {
            // What is there is copied.
            let before = self.files.read(&path).map_or(0, |content| content.len());
            self.charge(before as u64 * 2);
        }
        let written = self.files.write(&path, args.body(), args.flag("append"), mode);
        Ok(written.map(|()| Reply::Nothing))
    }

    /// `fs.stat{path,link}`
    pub(super) fn fs_stat(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let path = normal(args.text("path"));
        let found = if args.flag("link") {
            self.files.at(&path).map(|node| (path.clone(), node))
        } else {
            self.files.find(&path)
        };
        let told = found.map(|(_, node)| described(node, self.clock.now()));
        let class = self.class(&path, &origin, false);
        // Looking for somebody's secrets is worth telling even when only their presence is asked for.
        if class == "secret" {
            self.record(
                What::FsRead {
                    path: path.clone(),
                    class,
                    found: told.is_some(),
                },
                origin,
            )?;
        }
        Ok(told
            .map(Reply::from)
            .ok_or_else(|| Fault::file("ENOENT", "stat", &path)))
    }

    /// `fs.list{path}`
    pub(super) fn fs_list(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let path = normal(args.text("path"));
        let class = self.class(&path, &origin, false);
        self.record(
            What::FsList {
                path: path.clone(),
                class,
            },
            origin,
        )?;
        Ok(self.files.list(&path).map(|names| {
            let names: Vec<Value> = names
                .into_iter()
                .map(|(name, node)| json!({ "name": name, "type": kind(node) }))
                .collect();
            Value::from(names).into()
        }))
    }

    /// `fs.delete{path,recursive}`
    pub(super) fn fs_delete(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let path = normal(args.text("path"));
        let class = self.class_destroyed(&path, &origin);
        self.record(
            What::FsDelete {
                path: path.clone(),
                class,
            },
            origin,
        )?;
        let removed = self.files.remove(&path, args.flag("recursive"));
        Ok(removed.map(|()| Reply::Nothing))
    }

    /// `fs.mkdir{path,recursive}`
    pub(super) fn fs_mkdir(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let path = normal(args.text("path"));
        let class = self.class(&path, &origin, true);
        let payload = self.payload(b"");
        self.record(
            What::FsWrite {
                path: path.clone(),
                class,
                payload,
            },
            origin,
        )?;
        let made = self.files.make_folder(&path, args.flag("recursive"));
        Ok(made.map(|()| Reply::Nothing))
    }

    /// `fs.rename{from,to}`: the old place is deleted, the new one written.
    pub(super) fn fs_rename(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let (from, to) = (normal(args.text("from")), normal(args.text("to")));
        let class = self.class_destroyed(&from, &origin);
        self.record(
            What::FsDelete {
                path: from.clone(),
                class,
            },
            origin.clone(),
        )?;
        let content = self.files.read(&from).unwrap_or_default();
        let payload = self.payload(&content);
        let class = self.class_destroyed(&to, &origin);
        self.record(
            What::FsWrite {
                path: to.clone(),
                class,
                payload,
            },
            origin,
        )?;
        Ok(self.files.rename(&from, &to).map(|()| Reply::Nothing))
    }

    /// `fs.chmod{path,mode}`
    pub(super) fn fs_chmod(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let path = normal(args.text("path"));
        let mode = args.number("mode") as u32;
        let class = self.class(&path, &origin, true);
        self.record(
            What::FsMode {
                path: path.clone(),
                class,
                mode,
            },
            origin,
        )?;
        Ok(self.files.set_mode(&path, mode).map(|()| Reply::Nothing))
    }

    /// `fs.watch{path}`
    pub(super) fn fs_watch(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let path = normal(args.text("path"));
        let class = self.class(&path, &origin, false);
        self.record(What::FsWatch { path, class }, origin)?;
        Ok(Ok(Reply::Nothing))
    }

    /// `fs.link{target,path}`: counts as a write of the place and a read of the target.
    pub(super) fn fs_link(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let (target, path) = (args.text("target"), normal(args.text("path")));
        let payload = self.payload(target.as_bytes());
        let class = self.class(&path, &origin, true);
        self.record(
            What::FsWrite {
                path: path.clone(),
                class,
                payload,
            },
            origin.clone(),
        )?;
        let class = self.class(target, &origin, false);
        let found = self.files.find(target).is_some();
        self.record(
            What::FsRead {
                path: target.to_owned(),
                class,
                found,
            },
            origin,
        )?;
        Ok(self.files.link(target, &path).map(|()| Reply::Nothing))
    }

    /// `fs.readlink{path}`: the target of a link. `fs.real{path}`: the path with all links followed.
    pub(super) fn fs_readlink(&mut self, args: &Args<'_>) -> Answer {
        let path = normal(args.text("path"));
        Ok(match self.files.at(&path) {
            Some(Node::Link(target)) => Ok(Value::from(target.clone()).into()),
            Some(_) => Err(Fault::file("EINVAL", "readlink", &path)),
            None => Err(Fault::file("ENOENT", "readlink", &path)),
        })
    }

    pub(super) fn fs_real(&mut self, args: &Args<'_>) -> Answer {
        let path = normal(args.text("path"));
        let found = self.files.find(&path).map(|(real, _)| Value::from(real).into());
        Ok(found.ok_or_else(|| Fault::file("ENOENT", "realpath", &path)))
    }

    /// The environment as the kernel would show it.
    fn environ(&self) -> Vec<u8> {
        self.environment
            .iter()
            .flat_map(|(key, value)| format!("{key}={value}\0").into_bytes())
            .collect()
    }
}

const fn kind(node: &Node) -> &'static str {
    match node {
        Node::Folder => "directory",
        Node::File { .. } => "file",
        Node::Link(_) => "link",
    }
}

/// As the guest's `fs.Stats` are made from.
fn described(node: &Node, now: i64) -> Value {
    let (size, mode) = match node {
        Node::Folder => (4096, 0o040_755),
        Node::File { content, mode } => (content.len(), 0o100_000 | *mode),
        Node::Link(target) => (target.len(), 0o120_777),
    };
    // Everything is of yesterday.
    json!({ "type": kind(node), "size": size, "mode": mode, "mtime_ms": now - 86_400_000, "nlink": 1, "uid": 1000, "gid": 1000 })
}
