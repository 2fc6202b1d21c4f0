//! Programs that are started, signals, the environment, and who the machine says it is.

use serde_json::{Value, json};

use crate::trace::{Origin, What};
use crate::world::World;
use crate::world::args::{Answer, Args, Fault, Reply};

impl World {
    /// `proc.spawn{command,args,shell,detached,env}` with what the program reads.
    pub(super) fn proc_spawn(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let command = args.text("command").to_owned();
        let arguments = args.texts("args");
        let line = [vec![command.clone()], arguments.clone()].concat().join(" ");
        let mut given = line.clone().into_bytes();
        for (key, value) in args.json("env").as_object().into_iter().flatten() {
            // What is merely handed on is no news.
            let value = value.as_str().unwrap_or_default();
            if self.environment.get(key).map(String::as_str) != Some(value) {
                given.extend_from_slice(format!("\n{key}={value}").as_bytes());
            }
        }
        given.push(b'\n');
        given.extend_from_slice(args.body());
        let payload = self.payload(&given);
        self.record(
            What::Spawn {
                command,
                arguments,
                shell: args.flag("shell"),
                detached: args.flag("detached"),
                payload,
            },
            origin,
        )?;
        let printed = self.output_of(&line);
        Ok(Ok(
            json!({ "pid": 5100, "status": 0, "signal": null, "stdout": printed, "stderr": "" }).into(),
        ))
    }

    /// What a few programs print that are asked for secrets or for who one is.
    fn output_of(&mut self, line: &str) -> String {
        let words: Vec<&str> = line
            .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';' | '|' | '&'))
            .filter(|word| !word.is_empty())
            .collect();
        let has = |word: &str| words.contains(&word);
        if (has("gh") && has("token")) || (has("git") && has("credential")) {
            let config = self
                .files
                .read("/home/operator/.config/gh/hosts.yml")
                .unwrap_or_default();
            let text = String::from_utf8_lossy(&config).into_owned();
            return text.rsplit(' ').next().unwrap_or_default().to_owned();
        }
        if has("env") || has("printenv") || has("set") {
            return self
                .environment
                .iter()
                .map(|(key, value)| format!("{key}={value}\n"))
                .collect();
        }
        if let Some(at) = words
            .iter()
            .position(|word| matches!(*word, "cat" | "type" | "more" | "tail" | "head"))
        {
            let read: Vec<String> = words[at + 1..]
                .iter()
                .filter_map(|path| {
                    let path = path.replacen('~', crate::world::HOME, 1);
                    self.files.read(&path).ok()
                })
                .map(|content| String::from_utf8_lossy(&content).into_owned())
                .collect();
            return read.concat();
        }
        let told = match words.first().copied().unwrap_or_default() {
            "hostname" => "hostname",
            "uname" => "type",
            "whoami" => return format!("{}\n", self.conditions.machine.user),
            _ => return String::new(),
        };
        let told = self.conditions.machine.tell(told);
        format!("{}\n", told.as_str().unwrap_or_default())
    }

    /// `proc.exit{code}`
    pub(super) fn proc_exit(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let code = args.json("code").as_i64().unwrap_or(0) as i32;
        self.record(What::Exit { code }, origin)?;
        Ok(Ok(Reply::Nothing))
    }

    /// `proc.kill{pid,signal}`
    pub(super) fn proc_kill(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let signal = args.json("signal");
        let signal = signal.as_str().map_or_else(|| signal.to_string(), str::to_owned);
        self.record(What::Signal { signal }, origin)?;
        Ok(Ok(Reply::Nothing))
    }

    /// `proc.setuid{}`
    pub(super) fn proc_setuid(&mut self, origin: Origin) -> Answer {
        self.record(What::SetUid, origin)?;
        Ok(Err(Fault::new("EPERM", "EPERM: operation not permitted, setuid")))
    }

    /// `worker.start{}` with the source.
    pub(super) fn worker_start(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let payload = self.payload(args.body());
        self.record(What::Worker { payload }, origin)?;
        Ok(Ok(Reply::Nothing))
    }

    /// `env.get{key}`: the value as JSON, `null` when there is none.
    pub(super) fn env_get(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let key = args.text("key").to_owned();
        let value = self.environment.get(&key).cloned();
        let present = value.is_some();
        // The same code that asks again and again is told once.
        let asked = (origin.site.clone(), key.clone());
        if self.asked_environment.insert(asked) {
            self.record(What::EnvRead { key, present }, origin)?;
        }
        Ok(Ok(value.map_or(Value::Null, Value::from).into()))
    }

    /// `env.keys{}`
    pub(super) fn env_keys(&mut self, origin: Origin) -> Answer {
        self.record(What::EnvEnumerate, origin)?;
        let keys: Vec<&String> = self.environment.keys().collect();
        Ok(Ok(json!(keys).into()))
    }

    /// `env.set{key,value}`
    pub(super) fn env_set(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let key = args.text("key").to_owned();
        self.record(What::EnvWrite { key: key.clone() }, origin)?;
        if self.environment.len() < 10_000 {
            self.environment.insert(key, args.text("value").to_owned());
        }
        Ok(Ok(Reply::Nothing))
    }

    /// `env.delete{key}`
    pub(super) fn env_delete(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let key = args.text("key").to_owned();
        self.record(What::EnvWrite { key: key.clone() }, origin)?;
        self.environment.remove(&key);
        Ok(Ok(Reply::Nothing))
    }

    /// `os.info{what}`
    pub(super) fn os_info(&mut self, args: &Args<'_>, origin: Origin) -> Answer {
        let what = args.text("what").to_owned();
        let told = self.conditions.machine.tell(&what);
        // Half of all code asks for the platform; who the machine is, is another question.
        let identity = [
            "hostname",
            "user",
            "interfaces",
            "machine",
            "cpu_model",
            "release",
            "version",
        ];
        if identity.contains(&what.as_str()) {
            self.record(What::Identity { what }, origin)?;
        }
        Ok(Ok(told.into()))
    }
}
