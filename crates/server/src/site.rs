//! A web page's files, as they are on the disk now.

use std::{
    io,
    path::{Component, Path, PathBuf},
    time::UNIX_EPOCH,
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, header::InvalidHeaderValue},
};

/// What a page may load and where it may connect, unless its operator says otherwise (CSP level 3): what is on
/// this server, WebAssembly, and pictures and sounds that it makes itself.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' data: blob:; \
     media-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A directory of files that are served.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    root: PathBuf,
    policy: Option<HeaderValue>,
}

impl Site {
    /// The files in a directory, with this policy or the usual one; an empty one is none.
    ///
    /// # Errors
    /// When it is no value of a header.
    pub(crate) fn new(root: PathBuf, policy: Option<&str>) -> Result<Self, InvalidHeaderValue> {
        let policy = Some(policy.unwrap_or(POLICY)).filter(|policy| !policy.is_empty());
        Ok(Self { root, policy: policy.map(HeaderValue::from_str).transpose()? })
    }

    /// The file that a path names; `index.html` for a path that names none, since the page has
    /// places of its own. `None` when there is no page at all.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) async fn serve(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> io::Result<Option<Response<Body>>> {
        let named = self.locate(path);
        let index = self.root.join("index.html");
        for file in named.into_iter().chain([index]) {
            match tokio::fs::metadata(&file).await {
                Ok(metadata) if metadata.is_file() => {
                    let tag = entity_tag(&metadata)?;
                    let mut answer = answer(method, headers, &file, &tag).await?;
                    let policy = self.policy.clone().map(|policy| (header::CONTENT_SECURITY_POLICY, policy));
                    answer.headers_mut().extend(policy);
                    return Ok(Some(answer));
                }
                Ok(_) => {}
                Err(error) if names_no_file(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Where a path leads inside the directory; `None` when it leads out of it.
    fn locate(&self, path: &str) -> Option<PathBuf> {
        let decoded = percent_decode(path)?;
        let relative = Path::new(decoded.trim_start_matches('/'));
        relative
            .components()
            .all(|component| matches!(component, Component::Normal(_)))
            .then(|| self.root.join(relative))
    }
}

/// Whether a path leads nowhere, or could not lead anywhere.
fn names_no_file(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | InvalidFilename)
}

/// Changes whenever the file is written.
fn entity_tag(metadata: &std::fs::Metadata) -> io::Result<String> {
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(format!("\"{:x}-{:x}\"", metadata.len(), modified.as_nanos()))
}

async fn answer(method: &Method, headers: &HeaderMap, file: &Path, tag: &str) -> io::Result<Response<Body>> {
    // Kept by the browser, but asked for each time: a page that was built anew shows at once.
    let answer = Response::builder().header(header::ETAG, tag).header(header::CACHE_CONTROL, "no-cache");
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag));
    let answer = if known {
        answer.status(StatusCode::NOT_MODIFIED).body(Body::empty())
    } else {
        let mime = mime_guess::from_path(file).first_or_octet_stream();
        let content = tokio::fs::read(file).await?;
        let answer =
            answer.header(header::CONTENT_TYPE, mime.as_ref()).header(header::CONTENT_LENGTH, content.len());
        answer.body(if method == Method::HEAD { Body::empty() } else { Body::from(content) })
    };
    answer.map_err(io::Error::other)
}

/// Undoes the escapes of a path (RFC 3986); `None` when they are no UTF-8 or hide a NUL.
fn percent_decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        rest = tail;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let value = digit(digits[0])? * 16 + digit(digits[1])?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes).ok().filter(|path| !path.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(site: &Site, path: &str, headers: &HeaderMap) -> Response<Body> {
        let answer = site.serve(&Method::GET, path, headers).await.unwrap();
        answer.expect("a page")
    }

    #[tokio::test]
    async fn files_come_with_their_type_and_are_asked_for_each_time() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("index.html"), "<html>").unwrap();
        std::fs::write(root.path().join("a b.wasm"), "\0asm").unwrap();
        let site = Site::new(root.path().to_owned(), None).unwrap();
        let none = HeaderMap::new();

        let wasm = get(&site, "/a%20b.wasm", &none).await;
        assert_eq!(wasm.headers()[header::CONTENT_TYPE], "application/wasm");
        assert_eq!(wasm.headers()[header::CACHE_CONTROL], "no-cache");
        assert_eq!(wasm.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
        let mut known = HeaderMap::new();
        known.insert(header::IF_NONE_MATCH, wasm.headers()[header::ETAG].clone());
        let again = get(&site, "/a%20b.wasm", &known).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);

        std::fs::write(root.path().join("a b.wasm"), "\0asm, another").unwrap();
        let rebuilt = get(&site, "/a%20b.wasm", &known).await;
        assert_eq!(rebuilt.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn places_of_the_page_get_the_page_and_nothing_outside_is_served() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("www");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("index.html"), "<html>").unwrap();
        std::fs::write(outer.path().join("secret.txt"), "secret").unwrap();
        let site = Site::new(root, None).unwrap();
        for path in [
            "/",
            "/chat/bob",
            "/index.html/x",
            "/../secret.txt",
            "/%2e%2e/secret.txt",
            "/..%2fsecret.txt",
            "/%",
            "/%00",
            &format!("/{}", "x".repeat(300)),
        ] {
            let answer = get(&site, path, &HeaderMap::new()).await;
            let mime = &answer.headers()[header::CONTENT_TYPE];
            assert_eq!(mime, "text/html", "{path}");
        }
    }
}
