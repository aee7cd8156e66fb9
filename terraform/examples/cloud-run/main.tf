# A worker pool on Cloud Run, with a password from Secret Manager, and alarms.

variable "project_id" {
  description = "Project."
  type        = string
}

variable "image" {
  description = "Image of kafka-sidecar, by digest."
  type        = string
}

variable "notification_channels" {
  description = "Who is told of an alarm: projects/<project>/notificationChannels/<id>."
  type        = list(string)
}

variable "subnetwork" {
  description = "Subnetwork from which the brokers are reached."
  type        = string
}

module "orders_to_billing" {
  source = "../../modules/cloud-run-subscription"

  name              = "orders-to-billing"
  bootstrap_servers = "broker-1.example.com:9096"
  subscription = {
    source  = "kafka://my-cluster/orders"
    sink    = "https://billing.example.com/orders"
    options = { "security.protocol" = "sasl_ssl", "sasl.mechanism" = "SCRAM-SHA-512", "sasl.username" = "billing" }
  }
  secrets = {
    KAFKA_OPTION_SASL_PASSWORD = { secret = "kafka-password", version = "1" }
  }

  image      = var.image
  project_id = var.project_id
  location   = "europe-west3"
  network    = { subnetwork = var.subnetwork, tags = ["kafka-client"] }
  instances  = 2

  retry       = { max_attempts = 10 }
  dead_letter = { topic = "orders-dead" }
  alarms      = { actions = var.notification_channels, lag = 50000, age_seconds = 86400, dead_letters = 0 }
}
