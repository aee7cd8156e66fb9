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
    condition     = alltrue([for s in values(var.secrets) : can(regex("^(projects/[^/]+/secrets/)?[A-Za-z0-9_-]{1,255}$", s.secret)) && can(regex("^(latest|[0-9]+)$", s.version))])
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
