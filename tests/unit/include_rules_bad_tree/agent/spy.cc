#include "server/api/service.h"
