/* SPDX-License-Identifier: Apache-2.0
 *
 * Updates: what counters, gauges and distributions (histograms, summaries) do. */
#include "binding.h"

static PyTypeObject *counter_type, *gauge_type, *distribution_type;

/* ---- arguments ------------------------------------------------------------------------------------------------- */

bool amount_double(PyObject *object, double *value)
{
    *value = PyFloat_AsDouble(object);
    return *value != -1 || !PyErr_Occurred();
}

/* The one argument `amount`, by place or by name; NULL without an error: it was not given. Other names are refused:
 * `refused` (or NULL) with NotImplementedError unless it is None. */
static bool one_argument(const char *method, const char *name, PyObject *const *args, Py_ssize_t n, PyObject *names,
                         const char *refused, PyObject **amount)
{
    Py_ssize_t n_names = names ? PyTuple_Size(names) : 0;
    PyObject *second = n > 1 ? args[1] : NULL;
    *amount = n > 0 ? args[0] : NULL;
    if (n > (refused ? 2 : 1)) {
        PyErr_Format(PyExc_TypeError, "%s() takes %s (%zd given)", method,
                     refused ? "at most 2 positional arguments" : "1 positional argument", n);
        return false;
    }
    for (Py_ssize_t i = 0; i < n_names; i++) {
        PyObject *key = PyTuple_GetItem(names, i);
        if (PyUnicode_CompareWithASCIIString(key, name) == 0 && !*amount) {
            *amount = args[n + i];
        } else if (refused && PyUnicode_CompareWithASCIIString(key, refused) == 0) {
            second = args[n + i];
        } else {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", method, key);
            return false;
        }
    }
    if (second && second != Py_None) {
        PyErr_Format(PyExc_NotImplementedError, "libshm has no exemplars: %s() cannot take one", method);
        return false;
    }
    return true;
}

static bool needed_argument(const char *method, const char *name, PyObject *const *args, Py_ssize_t n, PyObject *names,
                            const char *refused, double *value)
{
    PyObject *amount;
    if (!one_argument(method, name, args, n, names, refused, &amount))
        return false;
    if (!amount) {
        PyErr_Format(PyExc_TypeError, "%s() missing 1 required positional argument: '%s'", method, name);
        return false;
    }
    if (!PyUnicode_Check(amount))
        return amount_double(amount, value);
    PyObject *number = PyNumber_Float(amount); /* client_python takes set("1.5") */
    bool right = number && amount_double(number, value);
    Py_XDECREF(number);
    return right;
}

/* ---- counters -------------------------------------------------------------------------------------------------- */

static PyObject *counter_add(Metric *metric, PyObject *amount)
{
    double value;
    libshm_family *shm = metric->family->shm;
    if (PyLong_Check(amount)) {
        int overflow;
        long long n = PyLong_AsLongLongAndOverflow(amount, &overflow);
        if (n == -1 && !overflow && PyErr_Occurred())
            return NULL;
        if (overflow == 0 && n >= 0) {
            libshm_counter_add_with(shm, metric->values, (uint64_t)n);
            Py_RETURN_NONE;
        }
    }
    if (!amount_double(amount, &value))
        return NULL;
    if (value < 0) {
        PyErr_SetString(PyExc_ValueError, "Counters can only be incremented by non-negative amounts.");
        return NULL;
    }
    if (value < 9007199254740992.0 && value == (double)(uint64_t)value)
        libshm_counter_add_with(shm, metric->values, (uint64_t)value); /* exact, however large the sum */
    else
        libshm_counter_add_double_with(shm, metric->values, value);
    Py_RETURN_NONE;
}

static PyObject *counter_inc(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    Metric *metric = (Metric *)self;
    PyObject *amount = NULL;
    if (n == 1 && !names)
        amount = args[0];
    else if ((n || names) && !one_argument("inc", "amount", args, n, names, "exemplar", &amount))
        return NULL;
    if (!metric_usable(metric))
        return NULL;
    if (amount)
        return counter_add(metric, amount);
    libshm_counter_add_with(metric->family->shm, metric->values, 1);
    Py_RETURN_NONE;
}

/* ---- gauges ---------------------------------------------------------------------------------------------------- */

static PyObject *gauge_add(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names, const char *method,
                           double sign)
{
    Metric *metric = (Metric *)self;
    PyObject *amount = NULL;
    double value = 1;
    if (!one_argument(method, "amount", args, n, names, NULL, &amount) || (amount && !amount_double(amount, &value)) ||
        !metric_usable(metric))
        return NULL;
    libshm_gauge_add_with(metric->family->shm, metric->values, sign * value);
    Py_RETURN_NONE;
}

static PyObject *gauge_inc(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    return gauge_add(self, args, n, names, "inc", 1);
}

static PyObject *gauge_dec(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    return gauge_add(self, args, n, names, "dec", -1);
}

static PyObject *gauge_set(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    Metric *metric = (Metric *)self;
    double value;
    if (!needed_argument("set", "value", args, n, names, NULL, &value) || !metric_usable(metric))
        return NULL;
    libshm_gauge_set_with(metric->family->shm, metric->values, value);
    Py_RETURN_NONE;
}

/* ---- histograms and summaries ---------------------------------------------------------------------------------- */

static PyObject *distribution_observe(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    Metric *metric = (Metric *)self;
    double value;
    if (!needed_argument("observe", "amount", args, n, names, "exemplar", &value) || !metric_usable(metric))
        return NULL;
    libshm_histogram_observe_with(metric->family->shm, metric->values, value);
    Py_RETURN_NONE;
}

/* ---- types ----------------------------------------------------------------------------------------------------- */

#define METHOD(name, function, doc)                                                                                    \
    {                                                                                                                  \
        name, (PyCFunction)(void (*)(void))(function), FASTCALL_KEYWORDS, doc                                          \
    }

static PyMethodDef counter_methods[] = {
    METHOD("inc", counter_inc, "inc(amount=1, exemplar=None)\n--\n\nAdds to the counter; never a negative amount."),
    {NULL, NULL, 0, NULL},
};
static PyMethodDef gauge_methods[] = {
    METHOD("inc", gauge_inc, "inc(amount=1)\n--\n\nAdds to the gauge."),
    METHOD("dec", gauge_dec, "dec(amount=1)\n--\n\nSubtracts from the gauge."),
    METHOD("set", gauge_set, "set(value)\n--\n\nSets the gauge."),
    {NULL, NULL, 0, NULL},
};
static PyMethodDef distribution_methods[] = {
    METHOD("observe", distribution_observe, "observe(amount, exemplar=None)\n--\n\nCounts one value."),
    {NULL, NULL, 0, NULL},
};

static PyType_Slot counter_slots[] = {{Py_tp_methods, counter_methods}, {0, NULL}};
static PyType_Slot gauge_slots[] = {{Py_tp_methods, gauge_methods}, {0, NULL}};
static PyType_Slot distribution_slots[] = {{Py_tp_methods, distribution_methods}, {0, NULL}};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE)
static PyType_Spec counter_spec = {"libshm._libshm.Counter", sizeof(Metric), 0, FLAGS, counter_slots};
static PyType_Spec gauge_spec = {"libshm._libshm.Gauge", sizeof(Metric), 0, FLAGS, gauge_slots};
static PyType_Spec distribution_spec = {"libshm._libshm.Distribution", sizeof(Metric), 0, FLAGS, distribution_slots};

int updates_add_types(PyObject *module)
{
    return binding_add_type(module, &counter_type, &counter_spec, binding_metric_type) ||
                   binding_add_type(module, &gauge_type, &gauge_spec, binding_metric_type) ||
                   binding_add_type(module, &distribution_type, &distribution_spec, binding_metric_type)
               ? -1
               : 0;
}
