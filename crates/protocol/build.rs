//! Turns the schema into Rust: its types by prost, and for each of them what `record.rs` reads and writes it by.
//! `protox` is a protobuf compiler in Rust, so no `protoc` is needed.

use std::{
    env,
    error::Error,
    fmt::{self, Write as _},
    fs,
    path::Path,
};

use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["proto/tutti.proto", "proto/local.proto"], ["proto"])?;
    let records = Path::new(&env::var("OUT_DIR")?).join("records.rs");
    fs::write(records, implementations(&files)?)?;
    prost_build::Config::new().bytes(["."]).compile_fds(files)?;
    Ok(())
}

/// `Record` for every message.
fn implementations(files: &FileDescriptorSet) -> Result<String, fmt::Error> {
    let mut code = String::new();
    for file in &files.file {
        let module = file.package().rsplit('.').next().unwrap_or_default();
        for message in &file.message_type {
            assert!(
                message.nested_type.is_empty() && message.enum_type.is_empty(),
                "{message:?} is not flat"
            );
            implementation(module, message, &mut code)?;
        }
    }
    Ok(code)
}

fn implementation(module: &str, message: &DescriptorProto, code: &mut String) -> fmt::Result {
    let mut fields = message.field.iter().collect::<Vec<_>>();
    fields.sort_by_key(|field| field.number());
    let (mut write, mut slots) = (String::new(), String::new());
    let mut written = Vec::new();
    for field in &fields {
        match one_of(message, field) {
            None => {
                writeln!(write, "{}", written_as(field))?;
                writeln!(slots, "{} => {},", field.number(), slot(field))?;
            }
            Some(name) => {
                let choice = format!("crate::{module}::{}::{}", snake(message.name()), camel(name));
                let (number, variant) = (field.number(), camel(field.name()));
                writeln!(slots, "{number} => one_of!(self.{name}, {choice}::{variant}),")?;
                // All of it stands where the first of them does.
                if !written.contains(&name) {
                    written.push(name);
                    let choices = fields.iter().filter(|field| one_of(message, field) == Some(name));
                    writeln!(write, "if let Some(it) = &self.{name} {{ match it {{")?;
                    for field in choices {
                        assert_eq!(field.r#type(), Type::Message, "{field:?} is not written");
                        let (number, variant) = (field.number(), camel(field.name()));
                        writeln!(write, "{choice}::{variant}(it) => to.record({number}, it),")?;
                    }
                    writeln!(write, "}} }}")?;
                }
            }
        }
    }
    let name = message.name();
    let (to, number) = if fields.is_empty() { ("_", "_") } else { ("to", "number") };
    writeln!(
        code,
        "impl Record for crate::{module}::{name} {{
            fn write(&self, {to}: &mut Writer) {{ {write} }}
            fn slot(&mut self, {number}: u32) -> Slot<'_> {{ {} }}
        }}",
        if fields.is_empty() {
            "Slot::Unknown".into()
        } else {
            format!("match number {{ {slots} _ => Slot::Unknown }}")
        },
    )
}

/// The group of fields to which this one belongs, of which there is one at most.
fn one_of<'a>(message: &'a DescriptorProto, field: &FieldDescriptorProto) -> Option<&'a str> {
    let index = field.oneof_index.filter(|_| !field.proto3_optional())?;
    Some(message.oneof_decl[index as usize].name())
}

fn written_as(field: &FieldDescriptorProto) -> String {
    let (number, name) = (field.number(), identifier(field));
    let repeated = field.label() == Label::Repeated;
    match field.r#type() {
        Type::Message if repeated => format!("self.{name}.iter().for_each(|it| to.record({number}, it));"),
        Type::Message => format!("if let Some(it) = &self.{name} {{ to.record({number}, it); }}"),
        Type::Bytes | Type::String if repeated || field.proto3_optional() => {
            format!("self.{name}.iter().for_each(|it| to.content({number}, it.as_ref()));")
        }
        Type::Bytes | Type::String => format!("to.text({number}, self.{name}.as_ref());"),
        Type::Enum | Type::Bool | Type::Uint32 | Type::Uint64 if field.proto3_optional() => {
            format!("self.{name}.iter().for_each(|it| to.varint({number}, *it as u64));")
        }
        Type::Enum | Type::Bool | Type::Uint32 | Type::Uint64 if repeated => {
            format!("to.numbers({number}, &mut self.{name}.iter().map(|it| *it as u64));")
        }
        Type::Enum | Type::Bool | Type::Uint32 | Type::Uint64 => {
            format!("to.number({number}, self.{name} as u64);")
        }
        _ => panic!("{field:?} is not written"),
    }
}

fn slot(field: &FieldDescriptorProto) -> String {
    let name = identifier(field);
    let repeated = field.label() == Label::Repeated;
    let kind = match field.r#type() {
        Type::Message => "Record",
        Type::Bytes => "Bytes",
        Type::String => "Text",
        Type::Enum => "Enumerated",
        Type::Bool => "Bool",
        Type::Uint32 => "U32",
        Type::Uint64 => "U64",
        _ => panic!("{field:?} is not read"),
    };
    match field.r#type() {
        Type::Message if repeated => format!("Slot::{kind}(one_more(&mut self.{name}) as _)"),
        Type::Bytes | Type::String if repeated => format!("Slot::{kind}(one_more(&mut self.{name}))"),
        Type::Message => format!("Slot::{kind}(self.{name}.get_or_insert_default())"),
        _ if field.proto3_optional() => format!("Slot::{kind}(self.{name}.get_or_insert_default())"),
        _ if repeated => format!("Slot::{kind}s(&mut self.{name})"),
        _ => format!("Slot::{kind}(&mut self.{name})"),
    }
}

/// What prost calls a field.
fn identifier(field: &FieldDescriptorProto) -> String {
    match field.name() {
        "type" => "r#type".to_owned(),
        name => name.to_owned(),
    }
}

/// `read_by` becomes `ReadBy`.
fn camel(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(capital).collect()
}

/// `ClientFrame` becomes `client_frame`.
fn snake(name: &str) -> String {
    let lower = |(at, char): (usize, char)| {
        let gap = if at > 0 && char.is_uppercase() { "_" } else { "" };
        format!("{gap}{}", char.to_lowercase())
    };
    name.char_indices().map(lower).collect()
}
