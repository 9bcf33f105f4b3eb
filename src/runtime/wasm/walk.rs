//! A look at a component before anything is compiled: how much work it makes, what it would hold, and what it asks for.
//!
//! A few kilobytes can ask a compiler for more than a machine has: a component that instantiates its child 900 times,
//! four deep, has 900⁴ instances. So everything that is multiplied by nesting is multiplied here, by counting alone,
//! which costs no more than reading the file. What is larger than a limit is refused by the limit's name; what is
//! malformed is left to the validator to describe.

use std::collections::HashMap;

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, Encoding,
    Instance, Parser, Payload,
};

use super::budget::MEMORIES_PER_COMPONENT_MAX;
use super::capabilities;
use super::engine::{
    CORE_INSTANCES_PER_COMPONENT_MAX, MEMORIES_PER_MODULE_MAX, TABLES_PER_COMPONENT_MAX, TABLES_PER_MODULE_MAX,
};
use crate::limits::Limits;
use crate::runtime::text::brief;

/// Components and modules that are instantiated, in all: each component's own, multiplied along the nesting. Composing
/// a dozen Rust components makes some 50.
const INSTANTIATIONS_MAX: u64 = 1_000;

/// Definitions that the compiler resolves, in all: imports, exports, aliases, arguments, types, lifted and lowered
/// functions of each component, once for each of its instances. A Rust component of 6 MB has 700.
const DEFINITIONS_MAX: u64 = 200_000;

/// Components within components. Composition adds one level for each step.
const NESTING_MAX: usize = 32;

/// One function's code, in bytes. The largest of a Python interpreter has a tenth of it.
const FUNCTION_BYTES_MAX: usize = 1 << 20;

/// One function's local variables: the compiler's memory grows with their number times the function's size.
const FUNCTION_LOCALS_MAX: u64 = 10_000;

/// Functions of all modules together. Go's standard compiler makes some 30,000.
const FUNCTIONS_MAX: u64 = 300_000;

/// Types, globals, imports, exports, data segments and element segments of all modules together, each kind for itself.
const MODULE_ITEMS_MAX: u64 = 200_000;

/// Bytes of a page of linear memory.
const PAGE_BYTES: u64 = 64 << 10;

/// What is found in a component.
#[derive(Debug)]
pub(super) struct Shape {
    /// What the component itself imports, and not what is nested in it.
    pub(super) imports: Vec<String>,
    /// What it exports.
    pub(super) exports: Vec<String>,
}

/// Why there is no shape.
#[derive(Debug)]
pub(super) enum Stopped {
    /// It is more than a limit allows. Says which.
    Refused(String),
    /// It cannot be read so far. The validator says it better.
    Malformed(String),
}

impl From<wasmparser::Error> for Stopped {
    fn from(cause: wasmparser::Error) -> Self {
        Self::Malformed(format!("the file is not a valid WebAssembly component: {}", brief(&cause.to_string())))
    }
}

/// Reads a component through, and returns what it asks for.
pub(super) fn walk(component: &[u8], limits: &Limits) -> Result<Shape, Stopped> {
    let mut walk = Walk { open: Vec::new(), modules: Totals::default() };
    for payload in Parser::new(0).parse_all(component) {
        if let Some(outermost) = walk.step(payload?)? {
            outermost.weight.check(limits)?;
            return Ok(Shape { imports: outermost.imports, exports: outermost.exports });
        }
    }
    Err(malformed("it ends early"))
}

fn malformed(what: &str) -> Stopped {
    Stopped::Malformed(format!("the file is not a valid WebAssembly component: {what}"))
}

/// Returns the refusal of what is beyond a limit that no setting raises.
fn beyond(what: &str, found: u64, limit: u64) -> Stopped {
    Stopped::Refused(format!(
        "the component has {found} {what}, and this host takes {limit} (no setting raises it): make it smaller, or several plugins of it"
    ))
}

fn check(what: &str, found: u64, limit: u64) -> Result<(), Stopped> {
    if found > limit { Err(beyond(what, found, limit)) } else { Ok(()) }
}

// ---------------------------------------------------------------------------------------------------------------------
// weight

/// What one instance of something makes, with all that is instantiated in it.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    instantiations: u64,
    core_instances: u64,
    definitions: u64,
    memories: u64,
    memory_bytes: u64,
    tables: u64,
    table_elements: u64,
}

impl Weight {
    fn add(&mut self, other: Self) {
        // Saturated is more than any limit.
        let Self { instantiations, core_instances, definitions, memories, memory_bytes, tables, table_elements } = self;
        *instantiations = instantiations.saturating_add(other.instantiations);
        *core_instances = core_instances.saturating_add(other.core_instances);
        *definitions = definitions.saturating_add(other.definitions);
        *memories = memories.saturating_add(other.memories);
        *memory_bytes = memory_bytes.saturating_add(other.memory_bytes);
        *tables = tables.saturating_add(other.tables);
        *table_elements = table_elements.saturating_add(other.table_elements);
    }

    fn define(&mut self, count: u64) {
        self.definitions = self.definitions.saturating_add(count);
    }

    /// Checks what the compiler has to do.
    fn check_work(&self) -> Result<(), Stopped> {
        check("instantiations, multiplied along its nesting", self.instantiations, INSTANTIATIONS_MAX)?;
        check("definitions, multiplied along its nesting", self.definitions, DEFINITIONS_MAX)
    }

    fn check(&self, limits: &Limits) -> Result<(), Stopped> {
        self.check_work()?;
        check("core instances", self.core_instances, CORE_INSTANCES_PER_COMPONENT_MAX.into())?;
        check("linear memories", self.memories, MEMORIES_PER_COMPONENT_MAX.into())?;
        check("tables", self.tables, TABLES_PER_COMPONENT_MAX.into())?;
        let memory_max = limits.instance_memory_bytes_max as u64;
        if self.memory_bytes > memory_max {
            return Err(Stopped::Refused(format!(
                "the component starts with {} bytes of linear memory ({} pages), and an instance may have {memory_max} ({} pages): raise \
                 instance_memory in the server's limits stanza (Limits::instance_memory_bytes_max), or build it with a smaller \
                 initial memory",
                self.memory_bytes,
                self.memory_bytes.div_ceil(PAGE_BYTES),
                memory_max / PAGE_BYTES,
            )));
        }
        let elements_max = limits.instance_table_elements_max as u64;
        if self.table_elements > elements_max {
            return Err(Stopped::Refused(format!(
                "the component starts with tables of {} elements, and an instance may have {elements_max}: raise \
                 instance_table_elements in the server's limits stanza (Limits::instance_table_elements_max)",
                self.table_elements,
            )));
        }
        Ok(())
    }
}

/// What all modules have together, however often they are instantiated.
#[derive(Debug, Default)]
struct Totals {
    functions: u64,
    items: HashMap<&'static str, u64>,
}

impl Totals {
    fn count(&mut self, what: &'static str, more: u32) -> Result<(), Stopped> {
        let total = self.items.entry(what).or_default();
        *total += u64::from(more);
        check(what, *total, MODULE_ITEMS_MAX)
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// walk

struct Walk {
    /// From the outermost component to what is being read.
    open: Vec<Open>,
    modules: Totals,
}

/// A component or a module whose end has not been reached.
struct Open {
    is_module: bool,
    weight: Weight,
    /// What is known of each component and module that it can name: `None` where it comes from outside.
    components: Vec<Option<Weight>>,
    core_modules: Vec<Option<Weight>>,
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Open {
    fn new(is_module: bool) -> Self {
        Self {
            is_module,
            weight: Weight::default(),
            components: Vec::new(),
            core_modules: Vec::new(),
            imports: Vec::new(),
            exports: Vec::new(),
        }
    }

    /// Counts one more instance of a component or module.
    fn instantiate(&mut self, index: u32, is_module: bool) -> Result<(), Stopped> {
        let (known, what) = if is_module {
            (self.core_modules.get(index as usize), "module")
        } else {
            (self.components.get(index as usize), "component")
        };
        match known {
            Some(Some(weight)) => {
                let mut weight = *weight;
                weight.instantiations = weight.instantiations.saturating_add(1);
                self.weight.add(weight);
                Ok(())
            }
            Some(None) => Err(Stopped::Refused(format!(
                "the component instantiates a {what} that it is handed from outside, and how much that makes cannot be known before it \
                 is compiled: put the {what} inside it (wac plug, wasm-tools compose)"
            ))),
            None => Err(malformed(&format!("unknown {what} {index}"))),
        }
    }
}

impl Walk {
    /// Takes the next part. Returns the outermost component when that was its end.
    fn step(&mut self, payload: Payload<'_>) -> Result<Option<Open>, Stopped> {
        if let Payload::Version { encoding, .. } = payload {
            self.open.push(Open::new(encoding == Encoding::Module));
            check("levels of nesting", self.open.len() as u64, NESTING_MAX as u64)?;
            return Ok(None);
        }
        if let Payload::End(_) = payload {
            return self.close();
        }
        let is_module = self.top()?.is_module;
        if is_module {
            self.in_module(payload)?
        } else {
            self.in_component(payload)?
        }
        Ok(None)
    }

    fn top(&mut self) -> Result<&mut Open, Stopped> {
        self.open.last_mut().ok_or_else(|| malformed("a section is outside any component"))
    }

    fn close(&mut self) -> Result<Option<Open>, Stopped> {
        let Some(closed) = self.open.pop() else { return Err(malformed("an end has no beginning")) };
        let Some(parent) = self.open.last_mut() else { return Ok(Some(closed)) };
        let place = if closed.is_module { &mut parent.core_modules } else { &mut parent.components };
        place.push(Some(closed.weight));
        Ok(None)
    }

    fn in_module(&mut self, payload: Payload<'_>) -> Result<(), Stopped> {
        match payload {
            Payload::TypeSection(section) => self.modules.count("types in its modules", section.count())?,
            Payload::ImportSection(section) => self.modules.count("imports of its modules", section.count())?,
            Payload::ExportSection(section) => self.modules.count("exports of its modules", section.count())?,
            Payload::GlobalSection(section) => self.modules.count("globals", section.count())?,
            Payload::DataSection(section) => self.modules.count("data segments", section.count())?,
            Payload::ElementSection(section) => self.modules.count("element segments", section.count())?,
            Payload::TagSection(section) => self.modules.count("exception tags", section.count())?,
            Payload::FunctionSection(section) => {
                self.modules.functions += u64::from(section.count());
                check("functions", self.modules.functions, FUNCTIONS_MAX)?;
            }
            Payload::MemorySection(section) => {
                check("linear memories in one module", section.count().into(), MEMORIES_PER_MODULE_MAX.into())?;
                for memory in section {
                    let memory = memory?;
                    let page_bytes =
                        memory.page_size_log2.map_or(PAGE_BYTES, |log2| 1_u64.checked_shl(log2).unwrap_or(0));
                    let weight = &mut self.top()?.weight;
                    weight.memories += 1;
                    weight.memory_bytes = weight.memory_bytes.saturating_add(memory.initial.saturating_mul(page_bytes));
                }
            }
            Payload::TableSection(section) => {
                check("tables in one module", section.count().into(), TABLES_PER_MODULE_MAX.into())?;
                for table in section {
                    let initial = table?.ty.initial;
                    let weight = &mut self.top()?.weight;
                    weight.tables += 1;
                    weight.table_elements = weight.table_elements.saturating_add(initial);
                }
            }
            Payload::CodeSectionEntry(body) => {
                let range = body.range();
                let bytes = range.end.saturating_sub(range.start);
                check("bytes of code in one function", bytes as u64, FUNCTION_BYTES_MAX as u64)?;
                let mut locals = 0_u64;
                for declared in body.get_locals_reader()? {
                    locals += u64::from(declared?.0);
                    check("local variables in one function", locals, FUNCTION_LOCALS_MAX)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn in_component(&mut self, payload: Payload<'_>) -> Result<(), Stopped> {
        let is_outermost = self.open.len() == 1;
        match payload {
            Payload::InstanceSection(section) => {
                for instance in section {
                    let open = self.top()?;
                    open.weight.define(1);
                    match instance? {
                        Instance::Instantiate { module_index, args } => {
                            open.weight.define(args.len() as u64);
                            open.weight.core_instances = open.weight.core_instances.saturating_add(1);
                            open.instantiate(module_index, true)?;
                        }
                        Instance::FromExports(exports) => open.weight.define(exports.len() as u64),
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    let open = self.top()?;
                    open.weight.define(1);
                    match instance? {
                        ComponentInstance::Instantiate { component_index, args } => {
                            open.weight.define(args.len() as u64);
                            open.instantiate(component_index, false)?;
                        }
                        ComponentInstance::FromExports(exports) => open.weight.define(exports.len() as u64),
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    self.alias(&alias?)?;
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import?;
                    let open = self.top()?;
                    open.weight.define(1);
                    if is_outermost {
                        open.imports.push(import.name.name.to_owned());
                    }
                    match import.ty {
                        ComponentTypeRef::Component(_) => open.components.push(None),
                        ComponentTypeRef::Module(_) => open.core_modules.push(None),
                        _ => {}
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export?;
                    let open = self.top()?;
                    open.weight.define(1);
                    if is_outermost {
                        open.exports.push(export.name.name.to_owned());
                    }
                    // What is exported gets an index of its own.
                    let place = match export.kind {
                        ComponentExternalKind::Component => &mut open.components,
                        ComponentExternalKind::Module => &mut open.core_modules,
                        _ => continue,
                    };
                    let same = place.get(export.index as usize).copied().flatten();
                    place.push(same);
                }
            }
            Payload::CoreTypeSection(section) => self.top()?.weight.define(section.count().into()),
            Payload::ComponentTypeSection(section) => self.top()?.weight.define(section.count().into()),
            Payload::ComponentCanonicalSection(section) => self.top()?.weight.define(section.count().into()),
            _ => {}
        }
        // So that what is too much is refused where it is, and not after all of it was read.
        self.top()?.weight.check_work()
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) -> Result<(), Stopped> {
        let depth = self.open.len();
        let (is_module, weight) = match alias {
            ComponentAlias::Outer { kind, count, index } => {
                let is_module = match kind {
                    ComponentOuterAliasKind::CoreModule => true,
                    ComponentOuterAliasKind::Component => false,
                    ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => {
                        self.top()?.weight.define(1);
                        return Ok(());
                    }
                };
                let outer = depth.checked_sub(1).and_then(|last| last.checked_sub(*count as usize));
                let outer =
                    outer.and_then(|at| self.open.get(at)).ok_or_else(|| malformed("unknown outer component"))?;
                let place = if is_module { &outer.core_modules } else { &outer.components };
                (is_module, place.get(*index as usize).copied().flatten())
            }
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => (false, None),
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. } => (true, None),
            ComponentAlias::InstanceExport { .. } | ComponentAlias::CoreInstanceExport { .. } => {
                self.top()?.weight.define(1);
                return Ok(());
            }
        };
        let open = self.top()?;
        open.weight.define(1);
        if is_module {
            open.core_modules.push(weight)
        } else {
            open.components.push(weight)
        }
        Ok(())
    }
}

/// Refuses imports that are not on offer, before anything is compiled for them.
pub(super) fn check_imports(shape: &Shape) -> Result<(), String> {
    capabilities::of_imports(&shape.imports).map(drop).map_err(|refused| capabilities::refusal(&refused))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, limits: &Limits) -> String {
        let bytes = wat::parse_str(text).expect("the text is well formed");
        match walk(&bytes, limits) {
            Err(Stopped::Refused(why)) => why,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn nested(levels: usize, times: usize) -> String {
        let mut text = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
        for level in 1..levels {
            let instances = format!("(instance (instantiate $c{}))", level - 1).repeat(times);
            text = format!("(component $c{level} {text} {instances})");
        }
        text
    }

    #[test]
    fn what_nesting_multiplies_is_multiplied() {
        let limits = Limits::default();
        for text in [nested(5, 900), nested(20, 2), nested(31, 3)] {
            let why = refused(&text, &limits);
            assert!(why.contains("instantiations, multiplied") && why.contains("takes 1000"), "{why}");
        }
        let deep = "(component ".repeat(40) + &")".repeat(40);
        assert!(refused(&deep, &limits).contains("levels of nesting"));
        // By another name it is the same.
        let alias = format!(
            "(component {} (component $d (alias outer 1 0 (component $e)) {}) (export $f \"f\" (component $d)) {})",
            nested(1, 0),
            "(instance (instantiate $e))".repeat(40),
            "(instance (instantiate $f))".repeat(40)
        );
        assert!(refused(&alias, &limits).contains("instantiations, multiplied"));
        // What is handed over cannot be counted.
        let handed = "(component (import \"c\" (component $c)) (instance (instantiate $c)))";
        assert!(refused(handed, &limits).contains("handed from outside"));
        let fine = wat::parse_str(nested(3, 2)).unwrap();
        walk(&fine, &limits).expect("a few are fine");
    }

    #[test]
    fn every_limit_is_told_by_its_name() {
        let limits = Limits { instance_memory_bytes_max: 64 << 20, ..Limits::default() };
        let module = |inside: &str| format!("(component (core module $m {inside}) (core instance (instantiate $m)))");
        let body = "nop ".repeat((1 << 20) + 1);
        let rows = [
            (module("(memory 1025)"), "instance_memory in the server's limits stanza"),
            (module("(memory 1) (memory 1)"), "2 linear memories in one module, and this host takes 1"),
            (module("(table 10000000 funcref)"), "instance_table_elements in the server's limits stanza"),
            (module(&"(table 1 funcref)".repeat(5)), "5 tables in one module"),
            (module(&format!("(func {})", "(local i32)".repeat(10_001))), "10001 local variables in one function"),
            (module(&format!("(func {body})")), "bytes of code in one function"),
            (module(&format!("(memory 1) {}", "(data \"\")".repeat(200_001))), "200001 data segments"),
            (
                format!("(component (core module $m) {})", "(core instance (instantiate $m))".repeat(33)),
                "33 core instances, and this host takes 32",
            ),
            (
                format!("(component (core module $m (memory 1)) {})", "(core instance (instantiate $m))".repeat(3)),
                "3 linear memories, and this host takes 2",
            ),
            (
                format!("(component (core module $m (memory 600)) {})", "(core instance (instantiate $m))".repeat(2)),
                "1200 pages",
            ),
        ];
        for (text, phrase) in rows {
            let why = refused(&text, &limits);
            assert!(why.contains(phrase), "{phrase}: {why}");
        }
    }
}
