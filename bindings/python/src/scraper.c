/* SPDX-License-Identifier: Apache-2.0
 *
 * Serving from inside a process: through the readers' API, merged and encoded by the exporter's own pure functions, so
 * both spell everything alike. */
#include "scraper.h"

#include "exporter/dialect.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

PyTypeObject *binding_scraper_type;

static const struct dialect text = {.header = dialect_text_header, .end = ""};
static const struct selection everything;
static uint64_t identities; /* of readers, in this process; changes under the GIL or atomically */

/* ---- without the GIL -------------------------------------------------------------------------------------------- */

/* The file that has the name now: a segment may have been replaced. One that lost its name is still read. */
static int follow(struct scraped *segment)
{
    if (segment->reader && libshm_reader_current(segment->reader, segment->path))
        return 0;
    libshm_reader *reader;
    int error = libshm_reader_open(segment->path, &reader);
    if (error)
        return segment->reader && error == LIBSHM_E_NOT_FOUND ? 0 : error;
    libshm_reader_close(segment->reader);
    segment->reader = reader;
    segment->identity = __atomic_add_fetch(&identities, 1, __ATOMIC_RELAXED);
    return 0;
}

const struct merged *scraper_collect(Scraper *scraper)
{
    scraper->n_sources = 0;
    scraper->problem[0] = 0;
    /* The merger lets its first source win in everything; here there is no such one. */
    scraper->sources[scraper->n_sources++] = (struct source){.name = "", .identity = 0};
    for (size_t i = 0; i < scraper->n; i++) {
        struct scraped *segment = &scraper->segments[i];
        const libshm_snapshot *snapshot = NULL;
        int error = follow(segment);
        if (!error)
            error = libshm_reader_snapshot(segment->reader, &snapshot);
        if (error == LIBSHM_E_NOT_FOUND)
            continue; /* nobody has made it yet */
        if (error) {
            snprintf(scraper->problem, sizeof scraper->problem, "%s: %s", libshm_strerror(error),
                     libshm_error_detail());
            continue;
        }
        scraper->sources[scraper->n_sources++] = (struct source){
            .name = segment->path,
            .identity = segment->identity,
            .layout = snapshot->layout_version,
            .created_ns = snapshot->created_ns,
            .families = snapshot->families,
            .n_families = snapshot->n_families,
        };
    }
    return merger_merge(scraper->merger, scraper->sources, scraper->n_sources);
}

/* ---- as a Python object ----------------------------------------------------------------------------------------- */

/* One thread at a time; false: an error is set. */
static bool enter(Scraper *scraper)
{
    if (scraper->busy) {
        PyErr_SetString(PyExc_RuntimeError, "this scraper is in use in another thread");
        return false;
    }
    scraper->busy = true;
    return true;
}

static bool leave(Scraper *scraper, bool whole)
{
    scraper->busy = false;
    if (!whole) {
        PyErr_NoMemory();
        return false;
    }
    return !scraper->problem[0] ||
           PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "a segment is left out: %s", scraper->problem) == 0;
}

static PyObject *scraper_text(PyObject *self, PyObject *Py_UNUSED(none))
{
    Scraper *scraper = (Scraper *)self;
    bool whole;
    if (!enter(scraper))
        return NULL;
    PyThreadState *thread = PyEval_SaveThread();
    scraper->text.size = 0;
    scraper->text.failed = false;
    const struct merged *merged = scraper_collect(scraper);
    whole = merged && scraper->encoder->encode(scraper->encoder, merged, scraper->sources, &everything, &scraper->text);
    PyEval_RestoreThread(thread);
    if (!leave(scraper, whole))
        return NULL;
    return PyBytes_FromStringAndSize(scraper->text.data ? scraper->text.data : "", (Py_ssize_t)scraper->text.size);
}

static PyObject *scraper_list(PyObject *self, PyObject *Py_UNUSED(none))
{
    Scraper *scraper = (Scraper *)self;
    const struct merged *merged;
    if (!enter(scraper))
        return NULL;
    PyThreadState *thread = PyEval_SaveThread();
    merged = scraper_collect(scraper);
    PyEval_RestoreThread(thread);
    PyObject *families = merged ? scraper_families(scraper, merged) : NULL;
    if (!leave(scraper, merged != NULL))
        Py_CLEAR(families);
    return families;
}

static bool set_segments(Scraper *scraper, PyObject *paths)
{
    Py_ssize_t n = PyTuple_Size(paths);
    if (n < 0)
        return false;
    scraper->segments = calloc((size_t)n + 1, sizeof *scraper->segments);
    scraper->sources = calloc((size_t)n + 1, sizeof *scraper->sources);
    scraper->merger = merger_new();
    scraper->encoder = encoder_new_text(&text);
    if (!scraper->segments || !scraper->sources || !scraper->merger || !scraper->encoder) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *bytes;
        if (!PyUnicode_FSConverter(PyTuple_GetItem(paths, i), &bytes))
            return false;
        scraper->segments[i].path = strdup(PyBytes_AsString(bytes));
        Py_DECREF(bytes);
        if (!scraper->segments[i].path) {
            PyErr_NoMemory();
            return false;
        }
        scraper->n++;
    }
    return true;
}

static PyObject *scraper_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *paths;
    if (keywords && PyDict_Size(keywords) > 0) {
        PyErr_SetString(PyExc_TypeError, "Scraper takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O!:Scraper", &PyTuple_Type, &paths))
        return NULL;
    Scraper *scraper = (Scraper *)PyType_GenericAlloc(type, 0);
    if (scraper && !set_segments(scraper, paths))
        Py_CLEAR(scraper);
    return (PyObject *)scraper;
}

static void scraper_dealloc(PyObject *self)
{
    Scraper *scraper = (Scraper *)self;
    PyTypeObject *type = Py_TYPE(self);
    for (size_t i = 0; i < scraper->n; i++) {
        libshm_reader_close(scraper->segments[i].reader);
        free(scraper->segments[i].path);
    }
    free(scraper->segments);
    free(scraper->sources);
    merger_free(scraper->merger);
    if (scraper->encoder)
        scraper->encoder->free(scraper->encoder);
    buffer_free(&scraper->text);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"text", scraper_text, METH_NOARGS, "text()\n--\n\nAll of it now, as Prometheus text 0.0.4."},
    {"families", scraper_list, METH_NOARGS, "families()\n--\n\nAll of it now, as a list of tuples."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)scraper_new},
    {Py_tp_dealloc, (void *)scraper_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "Scraper(paths): reads segments. One thread uses it at a time."},
    {0, NULL},
};

static PyType_Spec spec = {"libshm._libshm.Scraper", sizeof(Scraper), 0, Py_TPFLAGS_DEFAULT, slots};

int scraper_add_types(PyObject *module)
{
    return binding_add_type(module, &binding_scraper_type, &spec, NULL);
}
