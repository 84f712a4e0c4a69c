/* SPDX-License-Identifier: Apache-2.0
 *
 * Families: a definition that outlives failures. A mistake in it is an exception. If the segment cannot be had (no
 * permission, no space, damaged), or workers of an older release are alive that know another definition, that is a
 * warning; updates are dropped and counted, and the definition is tried again from time to time: metrics never take a
 * program down. */
#include "binding.h"

#include <stddef.h>
#include <string.h>

PyTypeObject *binding_family_type;

#define RETRY_NS UINT64_C(5000000000)

static const char *const type_names[] = {"", "counter", "gauge", "histogram", "summary", "info", "stateset", "unknown"};

/* ---- making ---------------------------------------------------------------------------------------------------- */

/* UTF-8 of a str without NUL, kept in texts[i]. */
static const char *keep_text(Family *family, Py_ssize_t i, PyObject *str, const char *what)
{
    if (!PyUnicode_Check(str)) {
        PyErr_Format(PyExc_TypeError, "%s must be a str, not %R", what, (PyObject *)Py_TYPE(str));
        return NULL;
    }
    PyObject *bytes = PyUnicode_AsUTF8String(str);
    if (!bytes)
        return NULL;
    char *text;
    if (PyBytes_AsStringAndSize(bytes, &text, NULL) != 0) { /* ValueError: embedded null byte */
        Py_DECREF(bytes);
        return NULL;
    }
    return PyTuple_SetItem(family->texts, i, bytes) == 0 ? text : NULL;
}

static bool keep_labelnames(Family *family, PyObject *labelnames)
{
    family->n_labels = PyTuple_Size(labelnames);
    if (family->n_labels > LIBSHM_MAX_LABELS) {
        PyErr_Format(PyExc_ValueError, "%U has %zd labels; at most %d are possible", family->name, family->n_labels,
                     (int)LIBSHM_MAX_LABELS);
        return false;
    }
    family->labelnames = PyTuple_New(family->n_labels);
    if (!family->labelnames)
        return false;
    for (Py_ssize_t i = 0; i < family->n_labels; i++) {
        PyObject *label = PyTuple_GetItem(labelnames, i);
        family->labels[i] = keep_text(family, 3 + i, label, "a label name");
        if (!family->labels[i])
            return false;
        Py_INCREF(label);
        PyUnicode_InternInPlace(&label); /* keywords are interned: comparing them is comparing pointers */
        PyTuple_SetItem(family->labelnames, i, label);
    }
    return true;
}

static bool keep_bounds(Family *family, PyObject *bounds)
{
    Py_ssize_t n = bounds == Py_None ? 0 : PyTuple_Size(bounds);
    if (n < 0)
        return false;
    if (n > LIBSHM_MAX_BOUNDS) {
        PyErr_Format(PyExc_ValueError, "histogram %U has %zd bounds; at most %d are possible", family->name, n,
                     (int)LIBSHM_MAX_BOUNDS);
        return false;
    }
    for (Py_ssize_t i = 0; i < n; i++)
        family->bounds[i] = PyFloat_AsDouble(PyTuple_GetItem(bounds, i));
    family->metric.bounds = n ? family->bounds : NULL;
    family->metric.n_bounds = (size_t)n;
    return !PyErr_Occurred();
}

static bool fill(Family *family, PyObject *labelnames, PyObject *bounds)
{
    Py_ssize_t n = PyTuple_Size(labelnames);
    family->texts = n < 0 ? NULL : PyTuple_New(3 + n);
    family->children = PyDict_New();
    if (!family->texts || !family->children)
        return false;
    family->metric.size = sizeof family->metric;
    family->metric.name = keep_text(family, 0, family->name, "the name");
    family->metric.help = family->metric.name ? keep_text(family, 1, family->documentation, "the documentation") : NULL;
    family->metric.unit = family->metric.help ? keep_text(family, 2, family->unit, "the unit") : NULL;
    if (!family->metric.unit || !keep_labelnames(family, labelnames) || !keep_bounds(family, bounds))
        return false;
    family->metric.labels = family->n_labels ? family->labels : NULL;
    if (family->metric.type <= LIBSHM_TYPE_UNKNOWN)
        family->type_name = type_names[family->metric.type];
    uint32_t cap = family->metric.max_series ? family->metric.max_series : LIBSHM_DEFAULT_MAX_SERIES;
    family->most_children = 2 * (Py_ssize_t)cap;
    return true;
}

/* Family(segment, type, name, documentation, unit, labelnames, bounds, mode, max_series, ttl_seconds) */
static PyObject *family_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *segment, *labelnames, *bounds, *name, *documentation, *unit;
    unsigned kind, mode, max_series, ttl;
    if (keywords && PyDict_Size(keywords) > 0) {
        PyErr_SetString(PyExc_TypeError, "Family takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O!IUOUO!OIII:Family", binding_segment_type, &segment, &kind, &name, &documentation,
                          &unit, &PyTuple_Type, &labelnames, &bounds, &mode, &max_series, &ttl))
        return NULL;
    Family *family = (Family *)PyType_GenericAlloc(type, 0);
    if (!family)
        return NULL;
    Py_INCREF(segment);
    Py_INCREF(name);
    Py_INCREF(documentation);
    Py_INCREF(unit);
    family->segment = (Segment *)segment;
    family->name = name;
    family->documentation = documentation;
    family->unit = unit;
    family->type_name = type_names[0];
    family->metric = (libshm_metric){.type = kind, .gauge_mode = mode, .max_series = max_series, .ttl_seconds = ttl};
    if (!fill(family, labelnames, bounds) || family_define(family) != 0) {
        Py_DECREF(family);
        return NULL;
    }
    return (PyObject *)family;
}

/* ---- defining -------------------------------------------------------------------------------------------------- */

static int try_define(Family *family)
{
    int error = segment_open(family->segment);
    libshm_family *shm = NULL;
    if (!error) {
        PyThreadState *thread = PyEval_SaveThread();
        error = libshm_family_define(family->segment->shm, &family->metric, &shm);
        PyEval_RestoreThread(thread);
    }
    if (!error && family->n_labels == 0) {
        family->shm = shm;
        error = family_make_series(family, NULL); /* shown from now on, with zero */
    }
    family->shm = error ? NULL : shm;
    family->retry_ns = binding_now_ns() + RETRY_NS;
    return error;
}

int family_define(Family *family)
{
    int error = family->shm ? 0 : try_define(family);
    if (!error)
        return 0;
    if (!binding_callers_mistake(error))
        return binding_warn(family->metric.name, error);
    binding_raise(error);
    return -1;
}

void family_retry(Family *family)
{
    if (family->shm || binding_now_ns() < family->retry_ns)
        return;
    family->retry_ns = UINT64_MAX; /* other threads need not try as well */
    (void)try_define(family);
}

int family_make_series(Family *family, const char *const *values)
{
    union {
        libshm_counter counter;
        libshm_gauge gauge;
        libshm_histogram histogram;
    } handle;
    libshm_family *shm = family->shm;
    uint32_t type = family->metric.type;
    int error;
    /* What is got is put back at once: children hold nothing, so idle and removed series can be taken back. */
    PyThreadState *thread = PyEval_SaveThread();
    if (type == LIBSHM_TYPE_COUNTER) {
        error = libshm_counter_get(shm, values, &handle.counter);
        libshm_counter_put(&handle.counter);
    } else if (type == LIBSHM_TYPE_HISTOGRAM || type == LIBSHM_TYPE_SUMMARY) {
        error = libshm_histogram_get(shm, values, &handle.histogram);
        libshm_histogram_put(&handle.histogram);
    } else {
        error = libshm_gauge_get(shm, values, &handle.gauge);
        libshm_gauge_put(&handle.gauge);
    }
    PyEval_RestoreThread(thread);
    return error == LIBSHM_E_OVERFLOW ? 0 : error; /* counted, and visible in the exporter */
}

/* ---- as a Python object ---------------------------------------------------------------------------------------- */

static int family_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((Family *)self)->children);
    return 0;
}

static int family_clear(PyObject *self)
{
    Py_CLEAR(((Family *)self)->children);
    return 0;
}

static void family_dealloc(PyObject *self)
{
    Family *family = (Family *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    family_clear(self);
    Py_XDECREF((PyObject *)family->segment);
    Py_XDECREF(family->name);
    Py_XDECREF(family->documentation);
    Py_XDECREF(family->unit);
    Py_XDECREF(family->labelnames);
    Py_XDECREF(family->texts);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)family_new},           {Py_tp_dealloc, (void *)family_dealloc},
    {Py_tp_traverse, (void *)family_traverse}, {Py_tp_clear, (void *)family_clear},
    {Py_tp_doc, "A definition in a segment."}, {0, NULL},
};

static PyType_Spec spec = {"libshm._libshm.Family", sizeof(Family), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots};

int family_add_types(PyObject *module)
{
    return binding_add_type(module, &binding_family_type, &spec, NULL);
}
