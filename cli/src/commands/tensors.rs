//! Bulk parts of `hearth rpc`: tensors from `.npy` files, and what comes back as files.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use hearth_api::limits;
use hearth_api::tensor::{Dtype, TensorHeader};
use hearth_media::npy;
use hearth_protocol::message::Attachment;

use super::input;
use crate::args::TensorFile;
use crate::exit::Failure;
use crate::output::file;

/// Media type of a tensor's bare elements.
const RAW: &str = "application/octet-stream";

/// What a `.npy` file may have above its elements.
const HEADER: u64 = 1 << 16;

/// Reads a tensor's file.
pub(super) fn read(tensor: &TensorFile) -> Result<(Attachment, Bytes), Failure> {
    let TensorFile { name, path } = tensor;
    let shown = path.display();
    let bytes = input::read(&format!("--tensor {name}:"), path, limits::PAYLOAD + HEADER)?;
    let array = npy::decode(&bytes)
        .map_err(|error| Failure::usage(format!("--tensor {name}: {shown}: {error}")))?;
    let dtype = Dtype::ALL.into_iter().find(|dtype| npy::descr(*dtype) == array.descr);
    let dtype = dtype.ok_or_else(|| {
        let known: Vec<_> = Dtype::ALL.map(|dtype| dtype.to_string()).into();
        Failure::usage(format!(
            "--tensor {name}: {shown} has elements of type {}: use {}",
            array.descr,
            known.join(", ")
        ))
    })?;
    let shape = array.shape.iter().map(|&length| length as u64).collect();
    let data = Bytes::copy_from_slice(array.data);
    let attachment = Attachment {
        name: name.clone(),
        media_type: RAW.to_owned(),
        len: data.len() as u64,
        tensor: Some(TensorHeader { dtype, shape }),
    };
    Ok((attachment, data))
}

/// Writes what a worker sent into the folder, under names that cannot lead out of it.
pub(super) fn write(
    folder: &Path,
    worker: &str,
    part: &Attachment,
    body: &[u8],
) -> Result<PathBuf, Failure> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = part.name.chars().map(plain).take(128).collect();
    let path = folder.join(format!("{worker}-{name}"));
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed(format!("{} can't be written: {error}", path.display()))
    };
    match &part.tensor {
        None => file::write(&path, body).map(|()| path),
        Some(TensorHeader { dtype, shape }) => {
            let path = folder.join(format!("{worker}-{name}.npy"));
            let shape: Option<Vec<usize>> =
                shape.iter().map(|&length| usize::try_from(length).ok()).collect();
            let shape = shape.ok_or_else(|| failed(&"its shape is too large"))?;
            let bytes =
                npy::encode_raw(npy::descr(*dtype), &shape, body).map_err(|e| failed(&e))?;
            file::write(&path, &bytes).map(|()| path)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_goes_out_and_comes_back_and_no_name_leads_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let data: Vec<u8> = (0..12).collect();
        std::fs::write(&path, npy::encode_raw("<i2", &[2, 3], &data).unwrap()).unwrap();
        let tensor = TensorFile { name: "a".to_owned(), path };
        let (attachment, body) = read(&tensor).unwrap();
        let header = TensorHeader { dtype: Dtype::I16, shape: vec![2, 3] };
        assert_eq!((attachment.tensor.as_ref(), &body[..]), (Some(&header), &data[..]));

        let evil = Attachment { name: "../../etc/x".to_owned(), ..attachment };
        let written = write(folder.path(), "w0", &evil, &body).unwrap();
        assert_eq!(written, folder.path().join("w0-.._.._etc_x.npy"));
        let again = TensorFile { name: "b".to_owned(), path: written };
        assert_eq!(read(&again).unwrap().1, body);
    }
}
