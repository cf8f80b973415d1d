//! The bytes of a request, put together once before the run.

use crate::url::Url;

/// Fields of the command line, in the order given; wrk keeps them in a table by exact name, so a
/// repeated name replaces the value that was there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

/// Why a `-H` argument is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// There is no `": "` after the name: wrk leaves such a field out.
    NoSeparator,
    /// The request has no body: wrk computes this field and leaves it out.
    ContentLength,
    /// A control character would end the field early.
    Control,
}

impl Fields {
    /// Adds one `-H` argument, `Name: value`.
    ///
    /// # Errors
    /// [`FieldError`] where the field cannot be sent.
    pub fn add(&mut self, argument: &str) -> Result<(), FieldError> {
        if argument.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(FieldError::Control);
        }
        let (name, value) = argument
            .split_once(':')
            .and_then(|(name, rest)| Some((name, rest.strip_prefix(' ')?)))
            .ok_or(FieldError::NoSeparator)?;
        if name.eq_ignore_ascii_case("content-length") {
            return Err(FieldError::ContentLength);
        }
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    /// Names and values, in the order in which they were first given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A GET request: `Host` unless the fields have one, then the fields. There is no `User-Agent`,
/// `Accept` or `Connection` of our own, as in wrk.
#[must_use]
pub fn render(url: &Url, fields: &Fields) -> Vec<u8> {
    let mut text = format!("GET {} HTTP/1.1\r\n", url.target);
    if !fields.0.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text.push_str(&format!("Host: {url}\r\n"));
    }
    for (name, value) in &fields.0 {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, arguments: &[&str], expect: &str) {
        let mut fields = Fields::default();
        for argument in arguments {
            fields.add(argument).unwrap();
        }
        let bytes = render(&Url::parse(url).unwrap(), &fields);
        assert_eq!(String::from_utf8(bytes).unwrap(), expect);
    }

    #[test]
    fn requests_have_a_host_and_the_fields_given() {
        check("http://h:80/p?q=1", &[], "GET /p?q=1 HTTP/1.1\r\nHost: h:80\r\n\r\n");
        check("http://[::1]", &[], "GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n");
        check(
            "http://h/",
            &["Accept: a", "X: 1", "Accept: b"],
            "GET / HTTP/1.1\r\nHost: h\r\nAccept: b\r\nX: 1\r\n\r\n",
        );
        check("http://h/", &["host: other"], "GET / HTTP/1.1\r\nhost: other\r\n\r\n");
    }

    #[test]
    fn fields_that_cannot_be_sent_are_told_apart() {
        let check = |text: &str, expect| assert_eq!(Fields::default().add(text), expect, "{text}");
        check("A: b", Ok(()));
        check("A: b: c", Ok(()));
        check("A: ", Ok(()));
        check("A:b", Err(FieldError::NoSeparator));
        check("A", Err(FieldError::NoSeparator));
        check("Content-Length: 5", Err(FieldError::ContentLength));
        check("A: b\r\nC: d", Err(FieldError::Control));
    }
}
