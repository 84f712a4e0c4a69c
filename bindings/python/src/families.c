/* SPDX-License-Identifier: Apache-2.0
 *
 * A scrape as Python objects. The strings point into the readers' copies, so the GIL may be held while objects are
 * made: nobody waits for this scraper.
 *
 *   family  (name, documentation, type, unit, (label name, ...), (le, ...), [series, ...])
 *   series  ((label value, ...), pid or None, created, value)
 *   value   a float, or for histograms and summaries (sum, (count of a bucket, not cumulative, ...)) */
#include "scraper.h"

#include "exporter/number.h"

#include <math.h>
#include <string.h>

static const char *const type_names[] = {"unknown", "counter", "gauge",    "histogram",
                                         "summary", "info",    "stateset", "unknown"};

static PyObject *texts(const char *const *strings, uint32_t n)
{
    PyObject *tuple = PyTuple_New(n);
    for (uint32_t i = 0; tuple && i < n; i++) {
        PyObject *text = PyUnicode_DecodeUTF8(strings[i], (Py_ssize_t)strlen(strings[i]), "replace");
        if (!text)
            Py_CLEAR(tuple);
        else
            PyTuple_SetItem(tuple, i, text);
    }
    return tuple;
}

/* As the text formats spell them, +Inf included. */
static PyObject *bounds_of(const libshm_family_view *family)
{
    uint32_t n = family->type == LIBSHM_TYPE_HISTOGRAM ? family->n_bounds + 1 : 0;
    PyObject *tuple = PyTuple_New(n);
    for (uint32_t i = 0; tuple && i < n; i++) {
        char text[NUMBER_MAX];
        size_t size = number_format_bound(text, i < family->n_bounds ? family->bounds[i] : INFINITY);
        PyObject *bound = PyUnicode_DecodeUTF8(text, (Py_ssize_t)size, "strict");
        if (!bound)
            Py_CLEAR(tuple);
        else
            PyTuple_SetItem(tuple, i, bound);
    }
    return tuple;
}

static PyObject *distribution(const libshm_family_view *family, const libshm_series_view *series)
{
    PyObject *counts = PyTuple_New(family->n_bounds + 1);
    for (uint32_t i = 0; counts && i <= family->n_bounds; i++) {
        PyObject *count = PyLong_FromUnsignedLongLong(series->buckets[i].integer);
        if (!count)
            Py_CLEAR(counts);
        else
            PyTuple_SetItem(counts, i, count);
    }
    return counts ? Py_BuildValue("dN", series->sum, counts) : NULL;
}

static PyObject *value_of(const libshm_family_view *family, const libshm_series_view *series)
{
    switch (family->type) {
    case LIBSHM_TYPE_HISTOGRAM:
    case LIBSHM_TYPE_SUMMARY:
        return distribution(family, series);
    case LIBSHM_TYPE_COUNTER:
        return PyFloat_FromDouble((double)series->integer + series->fractional);
    default:
        return PyFloat_FromDouble(series->fractional);
    }
}

static PyObject *series_of(const libshm_family_view *family, const libshm_series_view *series)
{
    PyObject *values = texts(series->label_values, family->n_labels), *value = NULL, *pid = NULL;
    if (values)
        value = value_of(family, series);
    if (value) {
        if (family->gauge_mode == LIBSHM_GAUGE_ALL)
            pid = PyLong_FromUnsignedLong(series->pid);
        else
            Py_INCREF(pid = Py_None);
    }
    if (!pid) {
        Py_XDECREF(values);
        Py_XDECREF(value);
        return NULL;
    }
    return Py_BuildValue("NNdN", values, pid, (double)series->created_ns * 1e-9, value);
}

static bool add_part(PyObject *list, const libshm_family_view *family, const bool *skip)
{
    for (size_t i = 0; i < family->n_series; i++) {
        if (skip && skip[i])
            continue;
        PyObject *series = series_of(family, &family->series[i]);
        int error = series ? PyList_Append(list, series) : -1;
        Py_XDECREF(series);
        if (error)
            return false;
    }
    return true;
}

static PyObject *family_of(const Scraper *scraper, const struct merged_family *merged)
{
    const libshm_family_view *first = merged_view(&merged->parts[merged->first], scraper->sources);
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && i < merged->n_parts; i++) {
        const libshm_family_view *family = merged_view(&merged->parts[i], scraper->sources);
        /* Another segment may have the labels in another order: the tuples must mean the same. */
        bool same_order = family->n_labels == first->n_labels;
        for (uint32_t l = 0; same_order && l < family->n_labels; l++)
            same_order = strcmp(family->label_names[l], first->label_names[l]) == 0;
        if (same_order && !add_part(list, family, merged->parts[i].skip))
            Py_CLEAR(list);
    }
    PyObject *labels = list ? texts(first->label_names, first->n_labels) : NULL;
    PyObject *bounds = labels ? bounds_of(first) : NULL;
    if (!bounds) {
        Py_XDECREF(list);
        Py_XDECREF(labels);
        return NULL;
    }
    uint32_t type = first->type <= LIBSHM_TYPE_UNKNOWN ? first->type : 0;
    return Py_BuildValue("ssssNNN", first->name, first->help, type_names[type], first->unit, labels, bounds, list);
}

PyObject *scraper_families(const Scraper *scraper, const struct merged *merged)
{
    PyObject *families = PyList_New(0);
    for (size_t i = 0; families && i < merged->n_families; i++) {
        PyObject *family = family_of(scraper, &merged->families[i]);
        if (!family || PyList_Append(families, family) != 0)
            Py_CLEAR(families);
        Py_XDECREF(family);
    }
    return families;
}
