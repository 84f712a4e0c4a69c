/* SPDX-License-Identifier: Apache-2.0
 *
 * The module itself: functions that belong to no object, errors, and who may import it. */
#include "binding.h"

#include <time.h>

PyObject *binding_error;

PyObject *binding_raise(int error)
{
    PyObject *type = error == LIBSHM_E_NOT_FOUND      ? PyExc_KeyError
                     : error == LIBSHM_E_MEMORY       ? PyExc_MemoryError
                     : error == LIBSHM_E_PERMISSION   ? PyExc_PermissionError
                     : binding_callers_mistake(error) ? PyExc_ValueError
                                                      : binding_error;
    PyErr_Format(type, "%s", libshm_error_detail());
    return NULL;
}

bool binding_callers_mistake(int error)
{
    return error == LIBSHM_E_INVALID || error == LIBSHM_E_COLLISION;
}

int binding_warn(const char *what, int error)
{
    return PyErr_WarnFormat(PyExc_RuntimeWarning, 2, "%s does nothing until this is put right: %s: %s", what,
                            libshm_strerror(error), libshm_error_detail());
}

uint64_t binding_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

int binding_add_type(PyObject *module, PyTypeObject **type, PyType_Spec *spec, PyTypeObject *base)
{
    if (!*type) {
        PyObject *bases = base ? PyTuple_Pack(1, base) : NULL;
        *type = (PyTypeObject *)PyType_FromSpecWithBases(spec, bases);
        Py_XDECREF(bases);
        if (!*type)
            return -1;
    }
    const char *dot = strrchr(spec->name, '.');
    Py_INCREF(*type);
    if (PyModule_AddObject(module, dot ? dot + 1 : spec->name, (PyObject *)*type) == 0)
        return 0;
    Py_DECREF(*type);
    return -1;
}

/* ---- functions ------------------------------------------------------------------------------------------------- */

static PyObject *directory(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(none))
{
    char path[4096], warning[512];
    int error = libshm_directory(path, sizeof path, warning, sizeof warning);
    return error ? binding_raise(error) : PyUnicode_DecodeFSDefault(path);
}

static PyObject *unlink_segment(PyObject *Py_UNUSED(self), PyObject *args, PyObject *keywords)
{
    static char *names[] = {"name", "directory", "force", NULL};
    const char *name;
    PyObject *where = NULL;
    int force = 0, error;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "s|O&p:unlink", names, &name, PyUnicode_FSConverter, &where,
                                     &force))
        return NULL;
    const char *path = where ? PyBytes_AsString(where) : NULL;
    PyThreadState *thread = PyEval_SaveThread();
    error = libshm_unlink(path, name, force);
    PyEval_RestoreThread(thread);
    Py_XDECREF(where);
    if (error == LIBSHM_E_NOT_FOUND) {
        PyErr_Format(PyExc_FileNotFoundError, "%s", libshm_error_detail());
        return NULL;
    }
    if (error)
        return binding_raise(error);
    Py_RETURN_NONE;
}

static PyObject *lost_updates(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(none))
{
    return PyLong_FromUnsignedLongLong(libshm_lost_updates());
}

static PyMethodDef functions[] = {
    {"directory", directory, METH_NOARGS, "directory()\n--\n\nWhere segments are, by the library's directory rule."},
    {"unlink", (PyCFunction)(void (*)(void))unlink_segment, METH_VARARGS | METH_KEYWORDS,
     "unlink(name, directory=..., force=False)\n--\n\nRemoves a segment's file. While processes are attached to it "
     "this "
     "is an Error, unless force is true: then they go on undisturbed, unseen."},
    {"lost_updates", lost_updates, METH_NOARGS,
     "lost_updates()\n--\n\nUpdates of this process that went nowhere because a segment could not be opened."},
    {NULL, NULL, 0, NULL},
};

/* ---- import ---------------------------------------------------------------------------------------------------- */

/* The types, the children and the segments of this process are shared by whoever imports this: an interpreter with a
 * lock of its own would change them under another one's feet. */
static int only_main_interpreter(void)
{
    int64_t id = PyInterpreterState_GetID(PyInterpreterState_Get());
    if (id == 0)
        return 0;
    PyErr_Format(PyExc_ImportError,
                 "libshm cannot be used in a subinterpreter (this is interpreter %lld): import it in the main one, or "
                 "use one process for each",
                 (long long)id);
    return -1;
}

static int execute(PyObject *module)
{
    if (only_main_interpreter() != 0)
        return -1;
    if (!binding_error)
        binding_error = PyErr_NewExceptionWithDoc("libshm.Error", "A segment cannot be used; the text says why.",
                                                  PyExc_RuntimeError, NULL);
    if (!binding_error)
        return -1;
    Py_INCREF(binding_error);
    if (PyModule_AddObject(module, "Error", binding_error) != 0) {
        Py_DECREF(binding_error);
        return -1;
    }
    static const struct {
        const char *name;
        long value;
    } constants[] = {
        {"COUNTER", LIBSHM_TYPE_COUNTER}, {"GAUGE", LIBSHM_TYPE_GAUGE}, {"HISTOGRAM", LIBSHM_TYPE_HISTOGRAM},
        {"SUMMARY", LIBSHM_TYPE_SUMMARY}, {"INFO", LIBSHM_TYPE_INFO},   {"STATESET", LIBSHM_TYPE_STATESET},
        {"SHARED", LIBSHM_GAUGE_SHARED},  {"SUM", LIBSHM_GAUGE_SUM},    {"MIN", LIBSHM_GAUGE_MIN},
        {"MAX", LIBSHM_GAUGE_MAX},        {"ALL", LIBSHM_GAUGE_ALL},
    };
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value) != 0)
            return -1;
    if (PyModule_AddStringConstant(module, "VERSION", LIBSHM_VERSION) != 0)
        return -1;
    return segment_add_types(module) || family_add_types(module) || metric_add_types(module) ||
                   updates_add_types(module) || scraper_add_types(module)
               ? -1
               : 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)execute},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "libshm._libshm",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__libshm(void);
PyMODINIT_FUNC PyInit__libshm(void)
{
    return PyModuleDef_Init(&definition);
}
