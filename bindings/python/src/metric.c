/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics as Python sees them: parents and children. */
#include "binding.h"

#include <stddef.h>
#include <string.h>

PyTypeObject *binding_metric_type;

static Metric *as_metric(PyObject *self)
{
    return (Metric *)self;
}

/* ---- remove(), clear(), reset(), label_sets() ------------------------------------------------------------------- */

static PyObject *metric_remove(PyObject *self, PyObject *const *args, Py_ssize_t n_args)
{
    Metric *metric = as_metric(self);
    if (!children_possible(metric))
        return NULL;
    Family *family = metric->family;
    if (n_args != family->n_labels) {
        PyErr_Format(PyExc_ValueError, "Incorrect label count (expected %zd, got %zd)", family->n_labels, n_args);
        return NULL;
    }
    PyObject *texts = children_texts(args, n_args);
    const char **values = texts ? children_values(texts, n_args) : NULL;
    if (!values) {
        Py_XDECREF(texts);
        return NULL;
    }
    int error = 0;
    libshm_family *shm = family->shm;
    if (shm) {
        PyThreadState *thread = PyEval_SaveThread();
        error = libshm_series_remove(shm, values);
        PyEval_RestoreThread(thread);
    }
    PyMem_Free(values);
    PyObject *key = n_args == 1 ? PyTuple_GetItem(texts, 0) : texts;
    if (PyDict_DelItem(family->children, key) != 0)
        PyErr_Clear();
    if (error == LIBSHM_E_NOT_FOUND)
        PyErr_SetObject(PyExc_KeyError, texts);
    else if (error)
        binding_raise(error);
    Py_DECREF(texts);
    if (error)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *metric_clear(PyObject *self, PyObject *Py_UNUSED(none))
{
    Metric *metric = as_metric(self);
    if (!children_possible(metric))
        return NULL;
    Family *family = metric->family;
    int error = 0;
    libshm_family *shm = family->shm;
    if (shm) {
        PyThreadState *thread = PyEval_SaveThread();
        error = libshm_family_clear(shm);
        PyEval_RestoreThread(thread);
    }
    PyDict_Clear(family->children);
    if (error)
        return binding_raise(error);
    Py_RETURN_NONE;
}

/* From zero: a series that is removed and made again. Every process's children find the new one. */
static PyObject *metric_reset(PyObject *self, PyObject *Py_UNUSED(none))
{
    Metric *metric = as_metric(self);
    if (!metric_usable(metric))
        return NULL;
    libshm_family *shm = metric->family->shm;
    if (!shm)
        Py_RETURN_NONE;
    const char **values = metric->values;
    int error;
    PyThreadState *thread = PyEval_SaveThread();
    error = libshm_series_remove(shm, values);
    PyEval_RestoreThread(thread);
    if (error == 0 || error == LIBSHM_E_NOT_FOUND)
        error = family_make_series(metric->family, values);
    if (error)
        return binding_raise(error);
    Py_RETURN_NONE;
}

/* The value now, over all processes; of histograms and summaries (count, sum). */
static PyObject *metric_get(PyObject *self, PyObject *Py_UNUSED(none))
{
    Metric *metric = as_metric(self);
    if (!metric_usable(metric))
        return NULL;
    libshm_family *shm = metric->family->shm;
    const char **values = metric->values;
    uint32_t type = metric->family->metric.type;
    bool distribution = type == LIBSHM_TYPE_HISTOGRAM || type == LIBSHM_TYPE_SUMMARY;
    uint64_t count = 0;
    double value;
    union {
        libshm_counter counter;
        libshm_gauge gauge;
        libshm_histogram histogram;
    } handle;
    PyThreadState *thread = PyEval_SaveThread();

    if (type == LIBSHM_TYPE_COUNTER) {
        (void)libshm_counter_get(shm, values, &handle.counter);
        value = libshm_counter_value(&handle.counter);
        libshm_counter_put(&handle.counter);
    } else if (distribution) {
        (void)libshm_histogram_get(shm, values, &handle.histogram);
        libshm_histogram_value(&handle.histogram, &count, &value);
        libshm_histogram_put(&handle.histogram);
    } else {
        (void)libshm_gauge_get(shm, values, &handle.gauge);
        value = libshm_gauge_value(&handle.gauge);
        libshm_gauge_put(&handle.gauge);
    }
    PyEval_RestoreThread(thread);

    return distribution ? Py_BuildValue("Kd", (unsigned long long)count, value) : PyFloat_FromDouble(value);
}

static int add_label_set(const char *const *values, void *list)
{
    Py_ssize_t n = 0;
    while (values[n])
        n++;
    PyObject *texts = PyTuple_New(n);
    for (Py_ssize_t i = 0; texts && i < n; i++) {
        PyObject *text = PyUnicode_DecodeUTF8(values[i], (Py_ssize_t)strlen(values[i]), "replace");
        if (!text)
            Py_CLEAR(texts);
        else
            PyTuple_SetItem(texts, i, text);
    }
    int result = texts ? PyList_Append(list, texts) : -1;
    Py_XDECREF(texts);
    return result;
}

static PyObject *metric_label_sets(PyObject *self, PyObject *Py_UNUSED(none))
{
    Metric *metric = as_metric(self);
    if (!children_possible(metric))
        return NULL;
    PyObject *list = PyList_New(0);
    if (list && metric->family->shm && libshm_family_each(metric->family->shm, add_label_set, list) != 0)
        Py_CLEAR(list);
    return list;
}

/* ---- as a Python object ---------------------------------------------------------------------------------------- */

/* _bind(family): what __init__ ends with. */
static PyObject *metric_bind(PyObject *self, PyObject *family)
{
    Metric *metric = as_metric(self);
    if (!PyObject_TypeCheck(family, binding_family_type)) {
        PyErr_SetString(PyExc_TypeError, "_bind() needs a Family");
        return NULL;
    }
    if (metric->family) {
        PyErr_SetString(PyExc_ValueError, "the metric is defined already");
        return NULL;
    }
    Py_INCREF(family);
    metric->family = (Family *)family;
    metric->ready = metric->family->n_labels == 0;
    Py_RETURN_NONE;
}

static PyObject *metric_raise_if_not_observable(PyObject *self, PyObject *Py_UNUSED(none))
{
    if (!metric_usable(as_metric(self)))
        return NULL;
    Py_RETURN_NONE;
}

enum property { NAME, DOCUMENTATION, UNIT, TYPE, LABELNAMES, LABELVALUES, SEGMENT };

static PyObject *get_property(PyObject *self, void *closure)
{
    Metric *metric = as_metric(self);
    Family *family = metric->family;
    PyObject *object = NULL;
    if (!family) {
        PyErr_SetString(PyExc_AttributeError, "the metric is not defined: __init__ was not called");
        return NULL;
    }
    switch ((enum property)(intptr_t)closure) {
    case NAME:
        object = family->name;
        break;
    case DOCUMENTATION:
        object = family->documentation;
        break;
    case UNIT:
        object = family->unit;
        break;
    case TYPE:
        return PyUnicode_FromString(family->type_name);
    case LABELNAMES:
        object = family->labelnames;
        break;
    case LABELVALUES:
        if (!metric->labelvalues)
            return PyTuple_New(0);
        object = metric->labelvalues;
        break;
    case SEGMENT:
        object = (PyObject *)family->segment;
        break;
    }
    Py_INCREF(object);
    return object;
}

static PyObject *metric_repr(PyObject *self)
{
    Metric *metric = as_metric(self);
    PyObject *type = PyObject_GetAttrString((PyObject *)Py_TYPE(self), "__name__"), *text = NULL;
    if (type && metric->family && metric->labelvalues)
        text = PyUnicode_FromFormat("libshm.%U(%U, %R)", type, metric->family->name, metric->labelvalues);
    else if (type && metric->family)
        text = PyUnicode_FromFormat("libshm.%U(%U)", type, metric->family->name);
    else if (type)
        text = PyUnicode_FromFormat("libshm.%U(undefined)", type);
    Py_XDECREF(type);
    return text;
}

static int metric_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)as_metric(self)->family);
    return 0;
}

static int metric_tp_clear(PyObject *self)
{
    as_metric(self)->ready = false;
    Py_CLEAR(as_metric(self)->family);
    return 0;
}

static void metric_dealloc(PyObject *self)
{
    Metric *metric = as_metric(self);
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    metric_tp_clear(self);
    Py_XDECREF(metric->labelvalues);
    PyMem_Free(metric->values);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"labels", (PyCFunction)(void (*)(void))children_labels, FASTCALL_KEYWORDS,
     "labels(*values, **values)\n--\n\nThe child with these label values, given in order or by name. It may be kept."},
    {"remove", (PyCFunction)(void (*)(void))metric_remove, METH_FASTCALL,
     "remove(*values)\n--\n\nRemoves one series, for all processes. A child that is updated later makes it again."},
    {"clear", metric_clear, METH_NOARGS, "clear()\n--\n\nRemoves every series, for all processes."},
    {"label_sets", metric_label_sets, METH_NOARGS,
     "label_sets()\n--\n\nThe label values of every series, of whichever process: a list of tuples."},
    {"_get", metric_get, METH_NOARGS, NULL},
    {"_reset", metric_reset, METH_NOARGS, NULL},
    {"_bind", metric_bind, METH_O, NULL},
    {"_raise_if_not_observable", metric_raise_if_not_observable, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"_name", get_property, NULL, NULL, (void *)NAME},
    {"_documentation", get_property, NULL, NULL, (void *)DOCUMENTATION},
    {"_unit", get_property, NULL, NULL, (void *)UNIT},
    {"_type", get_property, NULL, NULL, (void *)TYPE},
    {"_labelnames", get_property, NULL, NULL, (void *)LABELNAMES},
    {"_labelvalues", get_property, NULL, NULL, (void *)LABELVALUES},
    {"_segment", get_property, NULL, NULL, (void *)SEGMENT},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, (void *)metric_dealloc},
    {Py_tp_traverse, (void *)metric_traverse},
    {Py_tp_clear, (void *)metric_tp_clear},
    {Py_tp_repr, (void *)metric_repr},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_doc, "What all metrics have."},
    {0, NULL},
};

static PyType_Spec spec = {"libshm._libshm.Metric", sizeof(Metric), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

int metric_add_types(PyObject *module)
{
    return binding_add_type(module, &binding_metric_type, &spec, NULL);
}
