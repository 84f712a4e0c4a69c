/* SPDX-License-Identifier: Apache-2.0
 *
 * labels(): from label values to a child. A child is its family and its label values; it holds no series, so it stays
 * right when its series is removed by whichever process, hidden, or made anew. */
#include "binding.h"

#include <string.h>

/* ---- children -------------------------------------------------------------------------------------------------- */

/* The values as C strings, in one block behind the pointers. `texts`: a tuple of str. */
const char **children_values(PyObject *texts, Py_ssize_t n)
{
    PyObject *bytes[LIBSHM_MAX_LABELS] = {NULL};
    char *text[LIBSHM_MAX_LABELS];
    size_t size = ((size_t)n + 1) * sizeof(char *);
    const char **values = NULL;
    bool whole = true;
    for (Py_ssize_t i = 0; whole && i < n; i++) {
        bytes[i] = PyUnicode_AsUTF8String(PyTuple_GetItem(texts, i));
        whole = bytes[i] && PyBytes_AsStringAndSize(bytes[i], &text[i], NULL) == 0;
        size += whole ? strlen(text[i]) + 1 : 0;
    }
    if (whole) {
        values = PyMem_Malloc(size);
        if (!values)
            PyErr_NoMemory();
    }
    if (values) {
        char *to = (char *)(values + n + 1);
        for (Py_ssize_t i = 0; i < n; i++) {
            size_t length = strlen(text[i]) + 1;
            values[i] = memcpy(to, text[i], length);
            to += length;
        }
        values[n] = NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++)
        Py_XDECREF(bytes[i]);
    return values;
}

static PyObject *make_child(Metric *parent, PyObject *key, PyObject *texts)
{
    Family *family = parent->family;
    const char **values = children_values(texts, family->n_labels);
    if (!values)
        return NULL;
    int error = 0;
    family_retry(family);
    if (family->shm)
        error = family_make_series(family, values);
    if (error &&
        (binding_callers_mistake(error) ? (binding_raise(error), 1) : binding_warn(family->metric.name, error))) {
        PyMem_Free(values);
        return NULL;
    }
    PyObject *other = PyDict_GetItemWithError(family->children, key);
    if (other || PyErr_Occurred()) { /* another thread was faster */
        PyMem_Free(values);
        Py_XINCREF(other);
        return other;
    }
    Metric *child = (Metric *)PyType_GenericAlloc(Py_TYPE((PyObject *)parent), 0);
    if (!child) {
        PyMem_Free(values);
        return NULL;
    }
    Py_INCREF((PyObject *)family);
    Py_INCREF(texts);
    child->family = family;
    child->labelvalues = texts;
    child->values = values;
    child->ready = true;
    /* Values that come and go without end must not fill this process's memory: forgotten children are made again. */
    if (PyDict_Size(family->children) >= family->most_children)
        PyDict_Clear(family->children);
    if (PyDict_SetItem(family->children, key, (PyObject *)child) != 0)
        Py_CLEAR(child);
    return (PyObject *)child;
}

/* The key of `n` values: the value itself if it is one, else a tuple. Only values that are exactly str; else NULL
 * without an error. */
static PyObject *quick_key(PyObject *const *values, Py_ssize_t n)
{
    for (Py_ssize_t i = 0; i < n; i++)
        if (!PyUnicode_CheckExact(values[i]))
            return NULL;
    if (n == 1) {
        Py_INCREF(values[0]);
        return values[0];
    }
    PyObject *key = PyTuple_New(n);
    for (Py_ssize_t i = 0; key && i < n; i++) {
        Py_INCREF(values[i]);
        PyTuple_SetItem(key, i, values[i]);
    }
    if (!key)
        PyErr_Clear();
    return key;
}

/* A tuple of exact str, whatever the values are. */
PyObject *children_texts(PyObject *const *values, Py_ssize_t n)
{
    PyObject *texts = PyTuple_New(n);
    for (Py_ssize_t i = 0; texts && i < n; i++) {
        PyObject *text = PyObject_Str(values[i]);
        if (text && !PyUnicode_CheckExact(text)) { /* a subclass may have a hash of its own */
            PyObject *exact = PyUnicode_FromObject(text);
            Py_DECREF(text);
            text = exact;
        }
        if (!text)
            Py_CLEAR(texts);
        else
            PyTuple_SetItem(texts, i, text);
    }
    return texts;
}

static PyObject *find_or_make(Metric *parent, PyObject *const *values)
{
    Family *family = parent->family;
    PyObject *texts = children_texts(values, family->n_labels);
    if (!texts)
        return NULL;
    PyObject *key = family->n_labels == 1 ? PyTuple_GetItem(texts, 0) : texts, *child;
    Py_INCREF(key);
    child = PyDict_GetItemWithError(family->children, key);
    if (child)
        Py_INCREF(child);
    else if (!PyErr_Occurred())
        child = make_child(parent, key, texts);
    Py_DECREF(key);
    Py_DECREF(texts);
    return child;
}

/* ---- labels() -------------------------------------------------------------------------------------------------- */

bool children_possible(Metric *metric)
{
    if (metric->family && metric->family->n_labels && !metric->values)
        return true;
    if (!metric->family)
        PyErr_SetString(PyExc_ValueError, "the metric is not defined: __init__ was not called");
    else if (!metric->family->n_labels)
        PyErr_Format(PyExc_ValueError, "No label names were set when constructing %U", metric->family->name);
    else
        PyErr_Format(PyExc_ValueError, "%U already has labels set (%R); can not chain calls to .labels()",
                     metric->family->name, metric->labelvalues);
    return false;
}

/* Puts keyword values in the order of the label names. */
static bool sort_keywords(const Family *family, PyObject *const *args, PyObject *names, PyObject **sorted)
{
    Py_ssize_t n = family->n_labels;
    if (PyTuple_Size(names) != n)
        return false;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *wanted = PyTuple_GetItem(family->labelnames, i);
        Py_ssize_t k = 0;
        while (k < n && PyTuple_GetItem(names, k) != wanted)
            k++;
        if (k == n) { /* made at run time, not interned */
            k = 0;
            while (k < n && PyUnicode_Compare(PyTuple_GetItem(names, k), wanted) != 0)
                k++;
        }
        if (k == n)
            return false;
        sorted[i] = args[k];
    }
    return true;
}

PyObject *children_labels(PyObject *self, PyObject *const *args, Py_ssize_t n_args, PyObject *names)
{
    Metric *metric = (Metric *)self;
    PyObject *sorted[LIBSHM_MAX_LABELS];
    if (!children_possible(metric))
        return NULL;
    Family *family = metric->family;
    if (names) {
        if (n_args) {
            PyErr_SetString(PyExc_ValueError, "Can't pass both *args and **kwargs");
            return NULL;
        }
        if (!sort_keywords(family, args, names, sorted)) {
            if (!PyErr_Occurred())
                PyErr_Format(PyExc_ValueError, "Incorrect label names: %U has %R, not %R", family->name,
                             family->labelnames, names);
            return NULL;
        }
        args = sorted;
    } else if (n_args != family->n_labels) {
        PyErr_Format(PyExc_ValueError, "Incorrect label count: %U has %R, %zd values were given", family->name,
                     family->labelnames, n_args);
        return NULL;
    }
    PyObject *key = quick_key(args, family->n_labels);
    if (key) {
        PyObject *child = PyDict_GetItemWithError(family->children, key);
        Py_XINCREF(child);
        Py_DECREF(key);
        if (child || PyErr_Occurred())
            return child;
    }
    return find_or_make(metric, args);
}
