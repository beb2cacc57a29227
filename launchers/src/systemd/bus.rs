//! Speaks with a systemd manager over D-Bus. The only home of `zbus`.
//!
//! It takes a message bus: on its own socket, which systemctl falls back to, a manager signs its
//! answers in a way that D-Bus doesn't know and `zbus` refuses.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Mutex;
use zbus::connection::Builder;
use zbus::wire::{DynamicType, OwnedObjectPath, Type, Variant};
use zbus::{Connection, Message};

use crate::Error;

/// The launcher's name.
pub(super) const NAME: &str = "systemd";

const SERVICE: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
/// For one answer of a manager that may be busy.
const ANSWER: Duration = Duration::from_secs(10);

/// Which of a host's managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manager {
    /// The first process.
    System,
    /// The one of this user.
    User,
}

impl Manager {
    /// The user's own for all but root.
    #[must_use]
    pub fn usual() -> Self {
        if rustix::process::geteuid().is_root() { Self::System } else { Self::User }
    }

    /// Its name in records, as systemctl's options have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
        }
    }
}

impl FromStr for Manager {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::System, Self::User].into_iter().find(|known| known.name() == text).ok_or(())
    }
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A unit's property with its value.
pub(super) type Property = (&'static str, Variant<'static>);

/// A unit as the manager lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnitState {
    /// Whether its processes run, or are about to.
    pub(super) alive: bool,
}

/// One manager, connected to at the first question.
#[derive(Debug)]
pub(super) struct Bus {
    manager: Manager,
    line: Mutex<Option<Line>>,
}

/// A connection to the bus that a manager is on.
#[derive(Debug, Clone)]
struct Line {
    connection: Connection,
}

impl Line {
    async fn open(manager: Manager) -> Result<Self, Error> {
        let bus = match manager {
            Manager::System => Builder::system(),
            Manager::User => Builder::session(),
        };
        Self::checked(bus).await.map_err(|error| absent(manager, &error))
    }

    /// A connection on which a manager answers.
    async fn checked(builder: Builder<'_>) -> zbus::Result<Self> {
        let made = async {
            let connection = builder.method_timeout(ANSWER).build().await?;
            let line = Self { connection };
            let interface = "org.freedesktop.DBus.Properties";
            line.send(interface, "Get", &(MANAGER, "Version")).await?;
            Ok(line)
        };
        let late = |_| zbus::Error::Failure(format!("no answer within {ANSWER:?}"));
        tokio::time::timeout(ANSWER, made).await.map_err(late)?
    }

    async fn send<B>(&self, interface: &str, method: &str, body: &B) -> zbus::Result<Message>
    where
        B: Serialize + DynamicType,
    {
        self.connection.call_method(Some(SERVICE), PATH, Some(interface), method, body).await
    }
}

impl Bus {
    pub(super) fn new(manager: Manager) -> Self {
        Self { manager, line: Mutex::new(None) }
    }

    /// Asks the manager; once more over a fresh connection where the old one has ended.
    async fn call<B>(&self, method: &'static str, body: &B) -> Result<zbus::Result<Message>, Error>
    where
        B: Serialize + DynamicType,
    {
        let mut kept = self.line.lock().await;
        if let Some(line) = &*kept {
            match line.send(MANAGER, method, body).await {
                Err(zbus::Error::InputOutput(_)) => {}
                answer => return Ok(answer),
            }
        }
        let line = Line::open(self.manager).await?;
        let answer = line.send(MANAGER, method, body).await;
        *kept = Some(line);
        Ok(answer)
    }

    async fn ask<B, R>(&self, method: &'static str, body: &B) -> Result<R, Error>
    where
        B: Serialize + DynamicType,
        R: serde::de::DeserializeOwned + Type,
    {
        let failed = |error: zbus::Error| refused(self.manager, method, &error);
        let answer = self.call(method, body).await?.map_err(failed)?;
        answer.body().deserialize().map_err(failed)
    }

    /// Starts a unit that is gone once it has ended.
    pub(super) async fn start_transient(
        &self,
        name: &str,
        properties: &[Property],
    ) -> Result<(), Error> {
        let auxiliary: &[(&str, &[Property])] = &[];
        let body = (name, "fail", properties, auxiliary);
        let _job: OwnedObjectPath = self.ask("StartTransientUnit", &body).await?;
        Ok(())
    }

    /// The units of these names, those that are gone as well, in one question.
    pub(super) async fn list(&self, names: &[String]) -> Result<HashMap<String, UnitState>, Error> {
        type Row = (
            String,
            String,
            String,
            String,
            String,
            String,
            OwnedObjectPath,
            u32,
            String,
            OwnedObjectPath,
        );
        let rows: Vec<Row> = self.ask("ListUnitsByNames", &names).await?;
        let state = |row: Row| {
            let (name, _, _, active, _, _, _, job, ..) = row;
            (name, UnitState { alive: job != 0 || !matches!(&*active, "inactive" | "failed") })
        };
        Ok(rows.into_iter().map(state).collect())
    }

    /// Asks for a unit's end, as its own settings have it. One that is gone is no error.
    pub(super) async fn stop(&self, name: &str) -> Result<(), Error> {
        match self.call("StopUnit", &(name, "replace")).await? {
            Ok(_) => Ok(()),
            Err(zbus::Error::MethodError(kind, ..)) if kind.as_str() == NO_SUCH_UNIT => Ok(()),
            Err(error) => Err(refused(self.manager, "StopUnit", &error)),
        }
    }
}

fn absent(manager: Manager, error: &zbus::Error) -> Error {
    let remedy = match manager {
        Manager::System => {
            "systemd does not answer on the system's bus: it must be the first process of this host, \
             with dbus installed (systemctl status). Else use the launcher process"
        }
        Manager::User => {
            "no user manager answers on the user's bus: log in as this user, or keep its manager \
             running (loginctl enable-linger), with dbus-user-session installed \
             (systemctl --user status). Else use the launcher process"
        }
    };
    let reason = format!("{remedy} ({error})");
    Error::ManagerAbsent { launcher: NAME, reason }
}

fn refused(manager: Manager, method: &str, error: &zbus::Error) -> Error {
    let reason = match error {
        zbus::Error::MethodError(_, Some(text), _) => text.clone(),
        error => error.to_string(),
    };
    let reason = format!("the {manager} manager refuses {method}: {reason}");
    Error::Manager { launcher: NAME, reason }
}
