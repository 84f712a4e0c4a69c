/* SPDX-License-Identifier: Apache-2.0
 *
 * The extension module libshm._libshm, private parts. It uses the library's public headers only, and of Python only the
 * limited API of 3.9, so one build serves every later CPython.
 *
 *   Segment   a name and where it lives; opened when the first family is defined in it
 *   Family    a definition and the cache of its children; tried again later if the segment could not be had
 *   Metric    what Python code holds: a family without labels, or the child of one label set, or a parent of children
 *   Scraper   readers of some segments and what a text encoder prepared for them
 *
 * All of this changes only under the GIL. It is released around whatever may wait for another process. No lock of the
 * module's own exists, so a fork cannot catch one held. */
#ifndef LIBSHM_PYTHON_BINDING_H
#define LIBSHM_PYTHON_BINDING_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x03090000
#include <Python.h>
#include <libshm.h>
#include <stdbool.h>

/* Part of the stable ABI since 3.10, with the value and the signature that 3.7 to 3.9 have. Without it, each call would
 * build a tuple: twice the time of an increment. */
#ifndef METH_FASTCALL
#define METH_FASTCALL 0x0080
#endif
#define FASTCALL_KEYWORDS (METH_FASTCALL | METH_KEYWORDS)

typedef struct Segment {
    PyObject_HEAD PyObject *name; /* str */
    PyObject *directory;          /* str or NULL: the directory rule */
    PyObject *path;               /* str, once it was open */
    uint64_t max_bytes;
    libshm_segment *shm; /* NULL: not open (yet) */
} Segment;

typedef struct Family {
    PyObject_HEAD Segment *segment;
    PyObject *name, *documentation, *unit; /* str */
    PyObject *labelnames;                  /* tuple of interned str */
    PyObject *texts;                       /* tuple of bytes: what the pointers of `metric` point to */
    PyObject *children;                    /* dict: label value, or tuple of them -> Metric */
    libshm_metric metric;
    const char *labels[LIBSHM_MAX_LABELS + 1];
    double bounds[LIBSHM_MAX_BOUNDS];
    Py_ssize_t n_labels;
    Py_ssize_t most_children;
    libshm_family *shm; /* NULL: could not be defined (yet) */
    uint64_t retry_ns;  /* CLOCK_MONOTONIC: when it is tried again */
    const char *type_name;
} Family;

typedef struct Metric {
    PyObject_HEAD Family *family; /* NULL before __init__ */
    const char **values;          /* of a child: UTF-8, ended by NULL */
    PyObject *labelvalues;        /* of a child: tuple of str */
    bool ready;                   /* has a series: no labels, or a child */
} Metric;

extern PyObject *binding_error; /* libshm.Error */
extern PyTypeObject *binding_segment_type, *binding_family_type, *binding_metric_type, *binding_scraper_type;

/* Raises what a LIBSHM_E code means, with the library's detail. Returns NULL. */
PyObject *binding_raise(int error);
/* Is it the caller's mistake (and to be raised), or has the environment failed (and the program goes on)? */
bool binding_callers_mistake(int error);
/* A RuntimeWarning: `what` does nothing until a later try. 0; -1 if warnings are errors. */
int binding_warn(const char *what, int error);
uint64_t binding_now_ns(void);
/* A heap type, made once even if the module is imported anew. */
int binding_add_type(PyObject *module, PyTypeObject **type, PyType_Spec *spec, PyTypeObject *base);

int segment_add_types(PyObject *module);
int family_add_types(PyObject *module);
int metric_add_types(PyObject *module);
int updates_add_types(PyObject *module);
int scraper_add_types(PyObject *module);

/* Opens it if it is not open. A LIBSHM_E code. Releases the GIL. */
int segment_open(Segment *segment);
/* Defines the family if it is not defined, and at most once in a while if that fails. */
int family_define(Family *family);
/* Before an update through a family that is not defined. */
void family_retry(Family *family);
/* Makes the series of these values. A LIBSHM_E code. Releases the GIL. */
int family_make_series(Family *family, const char *const *values);

/* Label values as C strings, ended by NULL, in one block for PyMem_Free. `texts`: a tuple of n str. NULL: an error. */
const char **children_values(PyObject *texts, Py_ssize_t n);
/* Whatever the values are, as a tuple of exact str. NULL: an error. */
PyObject *children_texts(PyObject *const *values, Py_ssize_t n);
/* Is it a parent with labels? false: an error is set. */
bool children_possible(Metric *metric);
/* The method labels(). */
PyObject *children_labels(PyObject *self, PyObject *const *args, Py_ssize_t n_args, PyObject *names);

/* Python's argument of an update; false: an error is set. */
bool amount_double(PyObject *object, double *value);

static inline bool metric_usable(Metric *metric)
{
    if (__builtin_expect(metric->ready && metric->family->shm, 1))
        return true;
    if (!metric->ready) {
        PyErr_Format(PyExc_ValueError, "%s metric is missing label values",
                     metric->family ? metric->family->type_name : "this");
        return false;
    }
    family_retry(metric->family);
    return true; /* the library counts what is dropped */
}

#endif
