import type { file_agent } from '@caisson/wire/agent'

type File = typeof file_agent
type Message = File['messages'][number]
type Field = Message['fields'][number]

/** Kinds of proto3 by their numbers in a descriptor (FieldDescriptorProto.Type): the word that prost has for each, and Rust's type. */
const SCALARS: Readonly<Record<number, readonly [string, string]>> = {
  3: ['int64', 'i64'],
  4: ['uint64', 'u64'],
  5: ['int32', 'i32'],
  8: ['bool', 'bool'],
  9: ['string', 'String'],
  12: ['bytes = "vec"', 'Vec<u8>'],
  13: ['uint32', 'u32'],
}

const snake = (name: string) => name.replace(/(?<!^)[A-Z]/g, (letter) => `_${letter}`).toLowerCase()
const pascal = (name: string) => name.toLowerCase().replace(/(?:^|_)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())

function scalar(number: number): readonly [string, string] {
  const known = SCALARS[number]
  if (known === undefined) throw new Error(`spec/house/frames.ts has no Rust for the kind ${number} of descriptor.proto yet`)
  return known
}

/** Where a type is seen from a struct at the top: its own name, or that of its message before it. */
const place = ({ name, parent }: { name: string; parent: Message | undefined }): string =>
  parent === undefined ? name : `${snake(parent.name)}::${name}`

/** What prost calls the field's kind, and the Rust of one value of it. */
function kind(field: Field): readonly [string, string] {
  switch (field.fieldKind) {
    case 'scalar':
      return scalar(field.scalar)
    case 'enum':
      return [`enumeration = "${place(field.enum)}"`, 'i32']
    case 'message':
      return ['message', place(field.message)]
    case 'list': {
      const [word, type] = field.listKind === 'scalar' ? scalar(field.scalar) : ['message', field.message && place(field.message)]
      if (type === undefined) throw new Error(`${field}: spec/house/frames.ts knows no lists of enums yet`)
      return [`${word}, repeated`, `Vec<${type}>`]
    }
    case 'map': {
      if (field.mapKind !== 'scalar') throw new Error(`${field}: spec/house/frames.ts knows maps of plain values only`)
      const [key, value] = [scalar(field.mapKey), scalar(field.scalar)]
      return [`map = "${key[0]}, ${value[0]}"`, `HashMap<${key[1]}, ${value[1]}>`]
    }
  }
}

function member(one: Message['members'][number]): string[] {
  if (one.kind === 'oneof') {
    const tags = one.fields.map(({ number }) => number).join(', ')
    const type = `${snake(one.parent.name)}::${pascal(one.name)}`
    return [`#[prost(oneof = "${type}", tags = "${tags}")]`, `pub ${one.name}: Option<${type}>,`]
  }
  const [word, type] = kind(one)
  const [how, held] = one.fieldKind === 'message' ? [`${word}, optional`, `Option<${type}>`] : [word, type]
  if (one.fieldKind === 'scalar' && one.proto.proto3Optional) throw new Error(`${one}: spec/house/frames.ts knows no \`optional\` yet`)
  return [`#[prost(${how}, tag = "${one.number}")]`, `pub ${one.name}: ${held},`]
}

/** The module of a message: what it chooses between, and its enums. */
function inside(message: Message): string[] {
  const choices = message.oneofs.flatMap(({ name, fields }) => [
    '#[derive(Clone, PartialEq, ::prost::Oneof)]',
    `pub enum ${pascal(name)} {`,
    ...fields.flatMap((field) => {
      const [word, type] = kind(field)
      return [
        `    #[prost(${word}, tag = "${field.number}")]`,
        `    ${pascal(field.name)}(${field.fieldKind === 'message' ? 'super::' : ''}${type}),`,
      ]
    }),
    '}',
  ])
  const enums = message.nestedEnums.flatMap(({ name, values }) => [
    '#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ::prost::Enumeration)]',
    '#[repr(i32)]',
    `pub enum ${name} {`,
    ...values.map((value) => `    ${pascal(value.name)} = ${value.number},`),
    '}',
  ])
  const lines = [...choices, ...enums]
  return lines.length === 0 ? [] : [`pub mod ${snake(message.name)} {`, ...lines.map((line) => `    ${line}`), '}']
}

function struct(message: Message): string[] {
  if (message.nestedMessages.length > 0) throw new Error(`${message}: spec/house/frames.ts knows messages at the top only`)
  const head = ['#[derive(Clone, PartialEq, ::prost::Message)]']
  if (message.members.length === 0) return [...head, `pub struct ${message.name} {}`]
  return [...head, `pub struct ${message.name} {`, ...message.members.flatMap(member).map((line) => `    ${line}`), '}', ...inside(message)]
}

/** native/wire/src/frames.rs: the messages of wire/agent.proto for prost. What it has no Rust for is refused by name. */
export function framesModule({ messages }: File): string {
  const head = [
    '// The frames of wire/agent.proto, which says what they mean; made from it by `npm run generate`, and compared with it by every run of the tests.',
    '// Longer than files are here as a rule: nobody reads it from end to end.',
  ]
  return `${[...head, '', 'use std::collections::HashMap;', '', ...messages.flatMap((message) => struct(message))].join('\n')}\n`
}
