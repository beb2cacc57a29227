//! Why a document is no request's.

/// Why a document is no request's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// A PNG that is broken.
    #[error("the PNG can't be read")]
    Png(#[source] hearth_media::Error),
    /// A PNG of another program.
    #[error("the PNG doesn't say by which request it was made: Hearth's own do")]
    NoRequest,
    /// What begins as JSON, and is none.
    #[error("it is neither JSON nor a PNG made by Hearth")]
    Json(#[source] serde_json::Error),
    /// What is no YAML either.
    #[error("it is neither JSON, YAML nor a PNG made by Hearth")]
    Yaml(#[source] serde_yaml_ng::Error),
    /// A list, a number, a text.
    #[error("a request is a JSON object, as in {{\"prompt\": \"red heart\"}}")]
    NotAnObject,
}
