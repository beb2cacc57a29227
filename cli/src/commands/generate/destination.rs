//! Where pictures go: which file each one becomes.

use std::path::{Path, PathBuf};

use hearth_api::request::OutputFormat;

use crate::exit::Failure;
use crate::output::file;

/// Where the pictures of one request go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Destination {
    place: Location,
    pub(super) format: OutputFormat,
}

#[derive(Debug, PartialEq, Eq)]
enum Location {
    Stdout,
    /// Exactly this file.
    File(PathBuf),
    /// `STEM-<i>.EXT`.
    Numbered {
        stem: PathBuf,
        extension: String,
    },
}

impl Destination {
    /// From `-o` and `--format`. `name` stands for the request where `-o` names no file.
    pub(super) fn new(
        output: Option<&Path>,
        format: Option<OutputFormat>,
        images: u32,
        name: &str,
    ) -> Result<Self, Failure> {
        let named = format!("hearth-{name}");
        match output {
            Some(output) if output == Path::new("-") => {
                if images != 1 {
                    return Err(Failure::usage(format!(
                        "-o - holds one picture, not {images}: name a file or a folder"
                    )));
                }
                Ok(Self { place: Location::Stdout, format: format.unwrap_or(OutputFormat::Png) })
            }
            Some(output) if is_folder(output) => {
                make_folder(output)?;
                Ok(Self::numbered(output.join(named), format))
            }
            Some(output) => Self::file(output, format, images),
            None => Ok(Self::numbered(PathBuf::from(named), format)),
        }
    }

    fn numbered(stem: PathBuf, format: Option<OutputFormat>) -> Self {
        let format = format.unwrap_or(OutputFormat::Png);
        let extension = format.extension().to_owned();
        Self { place: Location::Numbered { stem, extension }, format }
    }

    fn file(output: &Path, format: Option<OutputFormat>, images: u32) -> Result<Self, Failure> {
        let shown = output.display();
        let extension = output.extension().and_then(|extension| extension.to_str());
        let implied = extension.and_then(OutputFormat::from_extension);
        let format = match (implied, format) {
            (Some(implied), Some(asked)) if implied != asked => {
                return Err(Failure::usage(format!(
                    "-o {shown} says {}, --format {}: make them agree",
                    implied.extension(),
                    asked.extension()
                )));
            }
            (implied, asked) => asked.or(implied).ok_or_else(|| {
                Failure::usage(format!(
                    "-o {shown}: the extension names no format. Use .png, .jpg, .webp or .npy, or \
                     give --format"
                ))
            })?,
        };
        let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
            return Err(Failure::usage(format!(
                "-o {shown}: there is no folder {}",
                parent.display()
            )));
        }
        let place = match (images, extension) {
            (1, _) => Location::File(output.to_owned()),
            (_, Some(extension)) => Location::Numbered {
                stem: output.with_extension(""),
                extension: extension.to_owned(),
            },
            (_, None) => Location::Numbered {
                stem: output.to_owned(),
                extension: format.extension().to_owned(),
            },
        };
        Ok(Self { place, format })
    }

    /// Refuses files that can't be created, before any work is done.
    pub(super) fn check_writable(&self, images: u32) -> Result<(), Failure> {
        for path in (0..images).filter_map(|image| self.path(image)) {
            file::check(&path).map_err(|error| {
                let shown = path.display();
                Failure::usage(format!("{shown} can't be written: name another place with -o"))
                    .caused_by(Some(&error))
            })?;
        }
        Ok(())
    }

    pub(super) fn is_stdout(&self) -> bool {
        self.place == Location::Stdout
    }

    /// The file of a picture; `None` for standard output.
    pub(super) fn path(&self, image: u32) -> Option<PathBuf> {
        match &self.place {
            Location::Stdout => None,
            Location::File(path) => Some(path.clone()),
            Location::Numbered { stem, extension } => {
                let mut path = stem.clone().into_os_string();
                path.push(format!("-{image}.{extension}"));
                Some(path.into())
            }
        }
    }

    /// The file of a picture while it is unfinished.
    pub(super) fn preview(&self, image: u32, media_type: &str) -> Option<PathBuf> {
        let extension = match media_type {
            "image/jpeg" => "jpg",
            "image/webp" => "webp",
            _ => "png",
        };
        Some(self.path(image)?.with_extension(format!("preview.{extension}")))
    }
}

fn is_folder(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.is_dir()
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(|error| {
        Failure::usage(format!("-o {}: the folder can't be made", path.display()))
            .caused_by(Some(&error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(output: Option<&str>, images: u32) -> Vec<String> {
        let destination = Destination::new(output.map(Path::new), None, images, "ab12").unwrap();
        let path = |image| destination.path(image).unwrap().display().to_string();
        (0..images).map(path).collect()
    }

    fn refusal(output: &str, format: Option<OutputFormat>, images: u32) -> String {
        let made = Destination::new(Some(Path::new(output)), format, images, "ab12");
        made.unwrap_err().to_string()
    }

    #[test]
    fn names_of_one_and_of_several() {
        assert_eq!(paths(None, 2), ["hearth-ab12-0.png", "hearth-ab12-1.png"]);
        assert_eq!(paths(Some("out.png"), 1), ["out.png"]);
        assert_eq!(paths(Some("out.png"), 2), ["out-0.png", "out-1.png"]);
        assert_eq!(paths(Some("a.b.JPG"), 2), ["a.b-0.JPG", "a.b-1.JPG"]);
    }

    #[test]
    fn a_folder_is_made_and_filled() {
        let folder = tempfile::tempdir().unwrap();
        let out = format!("{}/new/", folder.path().display());
        assert_eq!(paths(Some(&out), 1), [format!("{out}hearth-ab12-0.png")]);
        assert!(folder.path().join("new").is_dir());
        let there = folder.path().display().to_string();
        assert_eq!(paths(Some(&there), 1), [format!("{there}/hearth-ab12-0.png")]);
    }

    #[test]
    fn the_format_follows_the_extension_and_must_not_contradict_it() {
        let format = |output, format| {
            Destination::new(Some(Path::new(output)), format, 1, "x").unwrap().format
        };
        assert_eq!(format("a.jpeg", None), OutputFormat::Jpeg);
        assert_eq!(format("a", Some(OutputFormat::Webp)), OutputFormat::Webp);
        assert_eq!(format("-", None), OutputFormat::Png);
        assert!(refusal("a.png", Some(OutputFormat::Jpeg), 1).contains("make them agree"));
        assert!(refusal("a.tiff", None, 1).contains("names no format"));
    }

    #[test]
    fn what_can_not_be_written_is_refused_before_any_work() {
        assert!(refusal("-", None, 2).contains("one picture"));
        assert!(refusal("/nowhere/at/all/x.png", None, 1).contains("no folder"));
    }

    #[test]
    fn a_folder_in_a_pictures_place_is_noticed_before_any_work() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("x-1.png")).unwrap();
        let x = folder.path().join("x.png");
        let check = |images| {
            Destination::new(Some(&x), None, images, "ab12").unwrap().check_writable(images)
        };
        assert!(check(1).is_ok());
        assert!(check(2).unwrap_err().to_string().contains("x-1.png can't be written"));
    }

    #[test]
    fn previews_stand_beside() {
        let destination = Destination::new(Some(Path::new("d.png")), None, 2, "x").unwrap();
        let preview = destination.preview(1, "image/jpeg").unwrap();
        assert_eq!(preview, Path::new("d-1.preview.jpg"));
    }
}
