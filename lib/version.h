/*
 * version: the one place that says which version this is.
 */
#ifndef LIB_VERSION_H
#define LIB_VERSION_H

#define CHATELLO_VERSION "0.1.0"

#endif
