//! example.decay_sum/1: y[r, 0] = x[r, 0], y[r, i] = decay * y[r, i - 1] + x[r, i].
//! x, y: [.., E] f32. A plugin from the C header alone.

pub mod abi;

use abi::*;
use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};

/// A C string that lives for ever.
macro_rules! c {
    ($text:literal) => {
        concat!($text, "\0").as_ptr() as *const c_char
    };
}

// ---------------------------------------------------------------- failures

struct Failure {
    code: Status,
    text: String,
}

/// Runs `body`; failures, and panics, which must not cross the boundary, become statuses with a text.
fn guard(host: *const Host, body: impl FnOnce() -> Result<(), Failure>) -> Status {
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return OK,
        Ok(Err(failure)) => failure,
        Err(_) => Failure { code: INTERNAL, text: "example.decay_sum/1: a panic; please report it".into() },
    };
    let text = CString::new(failure.text).unwrap_or_default();
    // SAFETY: the host outlives the call that brought it.
    unsafe { ((*host).fail)(host, failure.code, text.as_ptr()) }
}

fn invalid(text: String) -> Failure {
    Failure { code: INVALID_ARGUMENT, text: format!("example.decay_sum/1: {text}") }
}

// ---------------------------------------------------------------- tensors

impl Tensor {
    fn axes(&self) -> usize {
        self.rank as usize
    }
    /// Elements of a row, the last axis.
    fn width(&self) -> i64 {
        self.shape[self.axes() - 1]
    }
    fn rows(&self) -> i64 {
        self.shape[..self.axes() - 1].iter().product()
    }
    /// Bytes from one element of a row to the next.
    fn step(&self) -> i64 {
        self.stride_bytes[self.axes() - 1]
    }
    /// First element of row r, rows being all axes but the last in row-major order.
    unsafe fn row(&self, mut r: i64) -> *mut u8 {
        let mut offset = 0;
        for axis in (0..self.axes() - 1).rev() {
            offset += r % self.shape[axis] * self.stride_bytes[axis];
            r /= self.shape[axis];
        }
        (self.data as *mut u8).offset(offset as isize)
    }
}

unsafe fn decay_of(attrs: *const Attrs) -> f64 {
    ((*attrs).get_float)(attrs, c!("decay"))
}

// ---------------------------------------------------------------- shapes

unsafe extern "C" fn infer(i: *const Infer) -> Status {
    guard((*i).host, || {
        let x = &**(*i).inputs;
        let y = &mut **(*i).outputs;
        if x.rank < 1 {
            return Err(invalid("x has rank 0, wanted 1 or more".into()));
        }
        let decay = decay_of((*i).attrs);
        if !(0.0..=1.0).contains(&decay) {
            return Err(invalid(format!("decay is {decay}, wanted 0 to 1")));
        }
        y.r#type = TYPE_F32;
        y.rank = x.rank;
        y.dims = x.dims;
        Ok(())
    })
}

// ---------------------------------------------------------------- the definition

unsafe extern "C" fn run_reference(run: *const Run) -> Status {
    guard((*run).host, || {
        let (x, y) = (&**(*run).inputs, &**(*run).outputs);
        let decay = decay_of((*run).attrs);
        for r in 0..x.rows() {
            let (from, to) = (x.row(r), y.row(r));
            let mut sum = 0f64;
            for i in 0..x.width() {
                sum = decay * sum + f64::from(*(from.offset((i * x.step()) as isize) as *const f32));
                *(to.offset((i * y.step()) as isize) as *mut f32) = sum as f32;
            }
        }
        Ok(())
    })
}

// ---------------------------------------------------------------- the fast kernel

/// About what a thread must be given for handing it over to pay.
const ELEMS_PER_CHUNK: i64 = 16384;

struct Job<'a> {
    x: &'a Tensor,
    y: &'a Tensor,
    decay: f32,
    rows_per_chunk: i64,
    panicked: AtomicBool,
}

unsafe extern "C" fn run_chunk(arg: *mut c_void, chunk: i64, _thread: u32) {
    let job = &*(arg as *const Job);
    let work = || {
        let first = chunk * job.rows_per_chunk;
        let n = job.x.width() as usize;
        for r in first..job.x.rows().min(first + job.rows_per_chunk) {
            let (from, to) = (job.x.row(r) as *const f32, job.y.row(r) as *mut f32);
            let mut sum = 0f32;
            for i in 0..n {
                sum = job.decay * sum + *from.add(i);
                *to.add(i) = sum;
            }
        }
    };
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        job.panicked.store(true, Ordering::Relaxed);
    }
}

unsafe extern "C" fn supports(p: *const Prepare, reason: *mut c_char, reason_size: usize) -> bool {
    let contiguous = |t: &Tensor| t.width() <= 1 || t.step() == std::mem::size_of::<f32>() as i64;
    if contiguous(&**(*p).inputs) && contiguous(&**(*p).outputs) {
        return true;
    }
    let text = b"rows are not contiguous\0";
    if !reason.is_null() && reason_size >= text.len() {
        std::ptr::copy_nonoverlapping(text.as_ptr() as *const c_char, reason, text.len());
    }
    false
}

unsafe extern "C" fn run_cpu(run: *const Run) -> Status {
    guard((*run).host, || {
        let (x, y) = (&**(*run).inputs, &**(*run).outputs);
        let (n, rows) = (x.width(), x.rows());
        if n == 0 || rows == 0 {
            return Ok(());
        }
        let rows_per_chunk = (ELEMS_PER_CHUNK / n).max(1);
        let mut job = Job { x, y, decay: decay_of((*run).attrs) as f32, rows_per_chunk, panicked: AtomicBool::new(false) };
        let chunks = (rows + rows_per_chunk - 1) / rows_per_chunk;
        ((*run).parallel_for)(run, chunks, run_chunk, &mut job as *mut Job as *mut c_void);
        if job.panicked.load(Ordering::Relaxed) {
            return Err(Failure { code: INTERNAL, text: "example.decay_sum/1: a panic on a worker; please report it".into() });
        }
        Ok(())
    })
}

unsafe extern "C" fn flops(p: *const Prepare) -> u64 {
    let x = &**(*p).inputs;
    2 * (x.rows() * x.width()) as u64
}

// ---------------------------------------------------------------- tables

static PORT_X: Port = Port { header: header::<Port>(), name: c!("x"), flags: 0, types: c!("f32"), doc: c!("[.., E]"), layouts: std::ptr::null(), token_axis: 0 };
static PORT_Y: Port = Port { header: header::<Port>(), name: c!("y"), flags: 0, types: c!("f32"), doc: c!("[.., E], as x"), layouts: std::ptr::null(), token_axis: 0 };
static DECAY: AttrDesc = AttrDesc {
    header: header::<AttrDesc>(),
    name: c!("decay"),
    kind: ATTR_FLOAT,
    default_json: std::ptr::null(),
    doc: c!("what is kept of the sum at each step"),
    range: c!("[0, 1]"),
    least: 0,
    most: 0,
};
static CPU: Kernel = Kernel {
    header: header::<Kernel>(),
    name: c!("cpu"),
    device: c!("cpu"),
    flags: 0,
    supports: Some(supports),
    prepare: None,
    run: run_cpu,
    self_test: None,
};
static REFERENCE: Kernel = Kernel {
    header: header::<Kernel>(),
    name: c!("reference"),
    device: c!("cpu"),
    flags: KERNEL_REFERENCE,
    supports: None,
    prepare: None,
    run: run_reference,
    self_test: None,
};

// A reference and a pointer that is not null are the same to C.
static INPUTS: [&Port; 1] = [&PORT_X];
static OUTPUTS: [&Port; 1] = [&PORT_Y];
static ATTRS: [&AttrDesc; 1] = [&DECAY];
static KERNELS: [&Kernel; 2] = [&CPU, &REFERENCE]; // best first

static DECAY_SUM: Operator = Operator {
    header: header::<Operator>(),
    id: c!("example.decay_sum/1"),
    summary: c!("y[i] = decay y[i - 1] + x[i]"),
    traits: 0,
    n_inputs: 1,
    n_outputs: 1,
    n_attrs: 1,
    n_kernels: 2,
    inputs: &INPUTS as *const _ as *const *const Port,
    outputs: &OUTPUTS as *const _ as *const *const Port,
    attrs: &ATTRS as *const _ as *const *const AttrDesc,
    kernels: &KERNELS as *const _ as *const *const Kernel,
    infer,
    decompose: std::ptr::null(),
    flops: Some(flops),
    elementwise: std::ptr::null(),
    view: std::ptr::null(),
};
static ITEMS: [&Operator; 1] = [&DECAY_SUM];
static OPERATORS: Operators = Operators { header: header::<Operators>(), count: 1, items: &ITEMS as *const _ as *const *const Operator };
static PLUGIN: Plugin =
    Plugin { header: header::<Plugin>(), id: c!("example.decay_sum"), version: c!("1.0.0"), licence: c!("MIT"), sanitizer: c!(""), get_extension };

unsafe extern "C" fn get_extension(id: *const c_char) -> *const c_void {
    if CStr::from_ptr(id).to_bytes() == EXT_OPERATORS {
        &OPERATORS as *const Operators as *const c_void
    } else {
        std::ptr::null()
    }
}

/// The one exported symbol.
///
/// # Safety
/// Called by an engine, with its host table.
#[no_mangle]
pub unsafe extern "C" fn orr_plugin_entry(_host: *const Host) -> *const Plugin {
    &PLUGIN
}
