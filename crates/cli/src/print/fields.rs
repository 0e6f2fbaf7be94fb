use anyhow::Result;

use super::{Console, Tone, printable};

/// Names and values, one a line.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    lines: Vec<(&'static str, String, Tone)>,
}

impl Fields {
    /// Adds a line.
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<String>) -> &mut Self {
        self.toned(name, Tone::Plain, value)
    }

    /// Adds a line whose value has a tone.
    pub(crate) fn toned(
        &mut self,
        name: &'static str,
        tone: Tone,
        value: impl Into<String>,
    ) -> &mut Self {
        self.lines.push((name, value.into(), tone));
        self
    }

    /// Adds a line if there is a value.
    pub(crate) fn maybe(&mut self, name: &'static str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            self.add(name, value);
        }
        self
    }

    /// Writes them.
    pub(crate) fn print(&self, console: &Console) -> Result<()> {
        let width = self
            .lines
            .iter()
            .map(|(name, ..)| name.len())
            .max()
            .unwrap_or_default();
        for (name, value, tone) in &self.lines {
            let name = console.paint(Tone::Strong, &format!("{name:width$}"));
            console.line(&format!(
                "{name}  {}",
                console.paint(*tone, &printable(value))
            ))?;
        }
        Ok(())
    }
}
