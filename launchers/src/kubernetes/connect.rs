//! The connection to the API server, and what its refusals mean for the caller.

use std::path::PathBuf;
use std::time::Duration;

use hearth_base::causes;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config as Connection};

use super::config::{Config, NAME};
use crate::Error;

/// How long the API server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long one question to it may take.
const CALL: Duration = Duration::from_secs(30);

const REMEDY: &str = "name a kubeconfig (KUBECONFIG, or ~/.kube/config), or run inside a cluster \
                      with a service account";

/// Makes a client; nothing is asked of the server yet. Also says which namespace is the default.
pub(super) async fn client(config: &Config) -> Result<(Client, String), Error> {
    let absent = |error: &(dyn std::error::Error + 'static)| Error::ManagerAbsent {
        launcher: NAME,
        reason: format!("{}: {REMEDY}", causes::in_one_line(error)),
    };
    let mut connection = match &config.kubeconfig {
        Some(path) => from_file(path.clone(), config.context.clone()).await?,
        None => match &config.context {
            None => Connection::infer().await.map_err(|error| absent(&error))?,
            Some(_) => {
                let options =
                    KubeConfigOptions { context: config.context.clone(), ..Default::default() };
                let read = Connection::from_kubeconfig(&options).await;
                read.map_err(|error| absent(&error))?
            }
        },
    };
    connection.connect_timeout = Some(CONNECT);
    // A followed log may be silent for long; questions are bounded by `ask`.
    connection.read_timeout = None;
    let namespace = connection.default_namespace.clone();
    let client = Client::try_from(connection).map_err(|error| absent(&error))?;
    Ok((client, namespace))
}

async fn from_file(path: PathBuf, context: Option<String>) -> Result<Connection, Error> {
    let absent = |error: &(dyn std::error::Error + 'static)| Error::ManagerAbsent {
        launcher: NAME,
        reason: format!(
            "{} is no kubeconfig that can be used: {}",
            path.display(),
            causes::in_one_line(error)
        ),
    };
    let file = Kubeconfig::read_from(&path).map_err(|error| absent(&error))?;
    let options = KubeConfigOptions { context, ..Default::default() };
    let read = Connection::from_custom_kubeconfig(file, &options).await;
    read.map_err(|error| absent(&error))
}

/// Awaits one answer of the API server, for a bounded time.
pub(super) async fn ask<T>(
    what: &str,
    question: impl Future<Output = kube::Result<T>>,
) -> Result<T, Error> {
    match tokio::time::timeout(CALL, question).await {
        Ok(answer) => answer.map_err(|error| refused(what, &error)),
        Err(_) => Err(manager(format!("can't {what}: the API server didn't answer in {CALL:?}"))),
    }
}

/// Like [`ask`]. The inner error is the server's refusal: nothing has changed. After the outer
/// error that is unknown.
pub(super) async fn ask_whether<T>(
    what: &str,
    question: impl Future<Output = kube::Result<T>>,
) -> Result<Result<T, Error>, Error> {
    let answered = async {
        match question.await {
            Err(kube::Error::Api(status)) if (400..500).contains(&status.code) => {
                Ok(Err(refused(what, &kube::Error::Api(status))))
            }
            answer => answer.map(Ok),
        }
    };
    ask(what, answered).await
}

/// Like [`ask`]; `None` for what doesn't exist.
pub(super) async fn ask_for<T>(
    what: &str,
    question: impl Future<Output = kube::Result<T>>,
) -> Result<Option<T>, Error> {
    let found = async {
        match question.await {
            Ok(found) => Ok(Some(found)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    };
    ask(what, found).await
}

fn refused(what: &str, error: &kube::Error) -> Error {
    let kube::Error::Api(status) = error else {
        return manager(format!("can't {what}: {}", causes::in_one_line(error)));
    };
    let remedy = match status.code {
        401 => "; the credentials in the kubeconfig are not (or no longer) valid",
        403 => "; docs/launchers.md lists the rights that the launcher needs",
        _ => "",
    };
    manager(format!("can't {what}: {}{remedy}", status.message))
}

pub(super) fn manager(reason: String) -> Error {
    Error::Manager { launcher: NAME, reason }
}
