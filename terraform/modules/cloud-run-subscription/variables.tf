# Inputs of this platform. What a subscription is, stands in core.tf.

variable "image" {
  description = "Image of kafka-sidecar. Pin it by digest (`…@sha256:…`): a tag that moves makes instances differ."
  type        = string
}

variable "location" {
  description = "Region of the worker pool, or of the job."
  type        = string
}

variable "network" {
  description = "Direct VPC egress: `network`, `subnetwork` or both, and network `tags`. A connector is not offered: with worker pools it is a preview."
  type = object({
    network    = optional(string)
    subnetwork = optional(string)
    tags       = optional(list(string))
  })

  validation {
    condition     = var.network.network != null || var.network.subnetwork != null
    error_message = "network needs network or subnetwork."
  }
}

variable "project_id" {
  description = "Project of everything that is made."
  type        = string
}

variable "alarms" {
  description = <<-EOT
    Alerting policies of Cloud Monitoring; null is none. One with a null threshold is not made.
    - `actions`: notification channels, by their full names, that are told of the alarm and of its end.
    - `lag`: records that the topic is ahead of what is settled, on an average of five minutes.
    - `age_seconds`: age of the oldest record that is not settled. Set it well below the topic's retention.
    - `dead_letters`: more dead letters than this within five minutes; 0 alarms on the first.
    - `no_running_instance`: whether it alarms that no instance of the worker pool has run for ten minutes.
    - `failed_run`: with `schedule`, whether it alarms that a run has failed.
  EOT
  type = object({
    actions             = list(string)
    lag                 = optional(number)
    age_seconds         = optional(number)
    dead_letters        = optional(number)
    no_running_instance = optional(bool, true)
    failed_run          = optional(bool, true)
  })
  default = null

  validation {
    condition     = alltrue([for channel in try(var.alarms.actions, []) : can(regex("^projects/[^/]+/notificationChannels/[^/]+$", channel))])
    error_message = "alarms.actions must be notification channels: projects/<project>/notificationChannels/<id>."
  }
}

variable "cpu" {
  description = "CPUs of an instance: 1, 2, 4, 6 or 8."
  type        = string
  default     = "1"
  nullable    = false

  validation {
    condition     = contains(["1", "2", "4", "6", "8"], var.cpu)
    error_message = "cpu must be 1, 2, 4, 6 or 8."
  }
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to destroy the worker pool or the job."
  type        = bool
  default     = true
  nullable    = false
}

variable "handler_container" {
  description = <<-EOT
    The handler as a second container of every instance, which starts before the sidecar. Null where the handler runs elsewhere. Cloud Run promises no order of stopping: after SIGTERM the handler has to go on answering for the 8 s of the drain.
    - `image`, `command`, `args`, `cpu`, `memory`, `environment`: as Cloud Run takes them.
    - `secrets`: as the module's `secrets`.
    - `health_check`: the `port` that it listens on, and a `path` that answers below 400 once it is ready; without one it is ready when it takes connections. `interval` and `timeout` in seconds; `retries`.
  EOT
  type = object({
    image       = string
    command     = optional(list(string))
    args        = optional(list(string))
    cpu         = optional(string)
    memory      = optional(string)
    environment = optional(map(string), {})
    secrets     = optional(map(object({ secret = string, version = string })), {})
    health_check = object({
      port     = number
      path     = optional(string)
      interval = optional(number)
      timeout  = optional(number)
      retries  = optional(number)
    })
  })
  default = null

  validation {
    condition     = local.calls_loopback == (var.handler_container != null)
    error_message = var.handler_container == null ? "The sink is on the loopback, where nothing listens without handler_container." : "With handler_container the sink (or handler.url) must be on localhost: the containers of an instance share it."
  }

  validation {
    condition     = var.handler_container == null || var.schedule == null
    error_message = "handler_container does not go with schedule: a handler does not end by itself, and would keep the job running."
  }

  validation {
    condition     = alltrue([for s in values(try(var.handler_container.secrets, {})) : can(regex(local.secret_name, s.secret)) && can(regex(local.secret_version, s.version))])
    error_message = "handler_container.secrets must name a secret of Secret Manager and a version (a number, or latest), never a value."
  }

  validation {
    condition     = length(setintersection(keys(try(var.handler_container.secrets, {})), keys(try(var.handler_container.environment, {})))) == 0
    error_message = "handler_container.secrets sets what handler_container.environment sets."
  }
}

variable "instances" {
  description = "How many instances run; 0 stops the subscription. A worker pool has no other scaling: those beyond the topic's partitions have nothing to do."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.instances >= 0 && floor(var.instances) == var.instances
    error_message = "instances must be a whole number, 0 or more."
  }
}

variable "labels" {
  description = "Labels of everything that is made."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "memory" {
  description = "Memory of an instance."
  type        = string
  default     = "512Mi"
  nullable    = false
}

variable "schedule" {
  description = <<-EOT
    Run to completion on a schedule instead of all the time: Cloud Scheduler starts a Cloud Run job, which delivers what lies before `end_at` and ends. Null is a worker pool.
    - `expression`: as cron writes it; `timezone`: of it.
    - `end_at`: END_AT.
    - `timeout`: how long one run may take, like `3600s`.
    - `enabled`: whether the schedule is on.
  EOT
  type = object({
    expression = string
    end_at     = string
    timezone   = optional(string)
    timeout    = optional(string)
    enabled    = optional(bool, true)
  })
  default = null

  validation {
    condition     = var.schedule == null || can(regex("^\\S+( \\S+){4}$", var.schedule.expression))
    error_message = "schedule.expression must have the five fields of cron."
  }

  validation {
    condition     = var.schedule == null || var.instances == 1
    error_message = "schedule starts one task at a time: leave instances out."
  }
}

variable "secrets" {
  description = "Variables whose values are read when an instance starts: the name of the variable, and the `secret` and `version` in Secret Manager. A number as version keeps instances alike."
  type = map(object({
    secret  = string
    version = string
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for s in values(var.secrets) : can(regex(local.secret_name, s.secret)) && can(regex(local.secret_version, s.version))])
    error_message = "secrets must name a secret of Secret Manager and a version (a number, or latest), never a value."
  }

  validation {
    condition     = length(setintersection(keys(var.secrets), keys(local.environment))) == 0
    error_message = "secrets sets what another input of the module sets: ${join(", ", setintersection(keys(var.secrets), keys(local.environment)))}."
  }
}

variable "service_account_email" {
  description = "Service account of the instances, which has to be able to read the secrets. Null makes one that may read these and nothing else."
  type        = string
  default     = null
}
