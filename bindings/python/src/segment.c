/* SPDX-License-Identifier: Apache-2.0
 *
 * Segments: named early, opened when the first family is defined in them. So importing a module costs nothing, and
 * LIBSHM_DIR may be set until then. They are never closed: a process that ends leaves nothing behind. */
#include "binding.h"

PyTypeObject *binding_segment_type;

static PyObject *segment_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"name", "directory", "max_bytes", NULL};
    PyObject *name, *directory = Py_None;
    unsigned long long max_bytes = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "U|OK:Segment", names, &name, &directory, &max_bytes))
        return NULL;
    Segment *segment = (Segment *)PyType_GenericAlloc(type, 0);
    if (!segment)
        return NULL;
    Py_INCREF(name);
    segment->name = name;
    if (directory != Py_None) {
        PyObject *bytes;
        if (!PyUnicode_FSConverter(directory, &bytes)) {
            Py_DECREF(segment);
            return NULL;
        }
        segment->directory = PyUnicode_DecodeFSDefault(PyBytes_AsString(bytes));
        Py_DECREF(bytes);
        if (!segment->directory) {
            Py_DECREF(segment);
            return NULL;
        }
    }
    segment->max_bytes = max_bytes;
    return (PyObject *)segment;
}

static void segment_dealloc(PyObject *self)
{
    Segment *segment = (Segment *)self;
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(segment->name);
    Py_XDECREF(segment->directory);
    Py_XDECREF(segment->path);
    PyObject_Free(self);
    Py_DECREF(type);
}

int segment_open(Segment *segment)
{
    if (segment->shm)
        return 0;
    libshm_segment *shm = NULL;
    int error = LIBSHM_E_MEMORY;
    PyObject *name = PyUnicode_AsUTF8String(segment->name), *directory = NULL;
    if (segment->directory && name && !PyUnicode_FSConverter(segment->directory, &directory))
        Py_CLEAR(name);
    if (!name) { /* lone surrogates: no name of a segment has any */
        PyErr_Clear();
        return LIBSHM_E_INVALID;
    }
    libshm_open_options options = {
        .size = sizeof options,
        .directory = directory ? PyBytes_AsString(directory) : NULL,
        .max_bytes = segment->max_bytes,
    };
    const char *text = PyBytes_AsString(name);
    PyThreadState *thread = PyEval_SaveThread();
    error = libshm_open(text, &options, &shm);
    PyEval_RestoreThread(thread);
    Py_DECREF(name);
    Py_XDECREF(directory);
    if (error)
        return error;
    if (segment->shm) { /* another thread was faster; it is the same object, opened twice */
        libshm_close(shm);
        return 0;
    }
    segment->path = PyUnicode_DecodeFSDefault(libshm_segment_path(shm));
    if (!segment->path)
        PyErr_Clear();
    segment->shm = shm;
    return 0;
}

static PyObject *segment_open_now(PyObject *self, PyObject *Py_UNUSED(none))
{
    int error = segment_open((Segment *)self);
    if (error)
        return binding_raise(error);
    Py_RETURN_NONE;
}

static PyObject *on_open_segment(PyObject *self, int (*function)(libshm_segment *))
{
    Segment *segment = (Segment *)self;
    int error = segment_open(segment);
    if (!error) {
        PyThreadState *thread = PyEval_SaveThread();
        error = function(segment->shm);
        PyEval_RestoreThread(thread);
    }
    if (error)
        return binding_raise(error);
    Py_RETURN_NONE;
}

static PyObject *segment_reset(PyObject *self, PyObject *Py_UNUSED(none))
{
    return on_open_segment(self, libshm_reset);
}

static PyObject *segment_sweep(PyObject *self, PyObject *Py_UNUSED(none))
{
    return on_open_segment(self, libshm_sweep);
}

static PyObject *or_none(PyObject *object)
{
    object = object ? object : Py_None;
    Py_INCREF(object);
    return object;
}

static PyObject *get_name(PyObject *self, void *Py_UNUSED(closure))
{
    return or_none(((Segment *)self)->name);
}

static PyObject *get_path(PyObject *self, void *Py_UNUSED(closure))
{
    return or_none(((Segment *)self)->path);
}

static PyMethodDef methods[] = {
    {"open", segment_open_now, METH_NOARGS, "open()\n--\n\nOpens it now, making it if there is none."},
    {"reset", segment_reset, METH_NOARGS,
     "reset()\n--\n\nEvery counter, histogram and summary goes on from zero; gauges stay."},
    {"sweep", segment_sweep, METH_NOARGS, "sweep()\n--\n\nHides idle series and takes back what nobody can hold."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"name", get_name, NULL, "Its name.", NULL},
    {"path", get_path, NULL, "Path of its file; None: not open yet.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)segment_new}, {Py_tp_dealloc, (void *)segment_dealloc}, {Py_tp_methods, methods},
    {Py_tp_getset, properties},       {Py_tp_doc, "A segment, by its name."},   {0, NULL},
};

static PyType_Spec spec = {"libshm._libshm.Segment", sizeof(Segment), 0, Py_TPFLAGS_DEFAULT, slots};

int segment_add_types(PyObject *module)
{
    return binding_add_type(module, &binding_segment_type, &spec, NULL);
}
